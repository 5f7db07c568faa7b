"""Bookings: a lane's next round, journalled in the commit that brings its deliveries to disk."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Cause, Reason, Unavailable
from relay.core.model import Delivery, Status
from relay.forwarder.booker import book
from relay.lane import Lane
from relay.lane.logbook import Logbook
from relay.metrics import LaneState
from relay.spool import Entry, Flight
from relay.spool.reader import Reader
from relay.spool.store import Store
from tests.lane.fake_kafka import HANG, LOSE_ANSWER, FakeKafka, Fault, Partition, refuse
from tests.lane.life import KEYS, Crash, Doom, DoomedKafka, DoomedSpool, Life, Line, number_of
from tests.lane.tape import Tape
from tests.lane.test_lane import running
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from relay.lane import Batch, Item, Journals, Neighbours
    from relay.spool import Appended, Journalled

TOPIC = "t"


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


@pytest.fixture
def kafka() -> FakeKafka:
    """Give a Kafka with one topic of one partition."""
    kafka = FakeKafka(delivery_timeout=600.0)
    kafka.create_topic(TOPIC, partitions=1)
    return kafka


class Desk:
    """Takes deliveries in for lanes of one topic, one behind the other, as the forwarder does.

    `flown` are the flights found with each at once.
    """

    def __init__(
        self, life: Life, *lanes: Lane, tasks: asyncio.TaskGroup | None = None, neighbours: Neighbours | None = None
    ) -> None:
        """Let lanes book in the commits of the life's spool; where none is left one is opened, in `tasks`."""
        self._life, self._tasks, self._neighbours = life, tasks, neighbours
        self.lanes = {lane.topic: lane for lane in lanes}
        life.spool.booker = lambda fresh: book(self.lanes, fresh)
        self.flown: dict[int, list[Flight]] = {}
        self.stranded: set[int] = set()
        self.refused = self.opened = 0

    async def take(self, count: int) -> None:
        """Take so many at once; those that could not be stored are counted."""
        first = self._life.spool.last_number + 1
        await asyncio.gather(*(self.append(number) for number in range(first, first + count)))

    async def append(self, number: int) -> None:
        """Take the delivery that will have this number."""
        named = f"{number}-{random.random()}"
        entry = Entry(Delivery("s", b"{}", "", "", 0.0), named, None, named, b"%16d" % number, Status.PENDING)
        try:
            await self._life.spool.append(entry, self.on_disk, [self._life.item(number).record])
        except Unavailable:
            self.refused += 1

    def on_disk(self, appended: Appended) -> None:
        """Hand on what came to disk, and look what flights came with it."""
        reader = Reader(self._life.path)
        self.flown[appended.number] = [one for one in reader.flights() if appended.number in dict(one.items)]
        reader.close()
        if appended.number in self.stranded:
            raise ValueError("a fault of ours")
        if TOPIC not in self.lanes and self._tasks and self._neighbours:
            line = Line()
            self.lanes[TOPIC] = Lane(TOPIC, line, self._neighbours)
            self._tasks.create_task(self._live(line))
            self.opened += 1
        self.lanes[TOPIC].push(self._life.item(appended.number))

    async def _live(self, line: Line) -> None:
        while True:
            await self.lanes[TOPIC].run()
            if not line.items:
                del self.lanes[TOPIC]
                return


@asynccontextmanager
async def publishing(life: Life, kafka: FakeKafka, journals: Journals | None = None) -> AsyncIterator[Desk]:
    """Let a lane publish, which has been ready once, and take deliveries in for it."""
    lane = Lane(TOPIC, Line(), life.neighbours(kafka, journals, idle_timeout=60.0))
    await life.spool.recall()  # what is not in memory yet is looked for on disk, and nothing booked meanwhile
    async with running(lane):
        desk = Desk(life, lane)
        await until(lambda: kafka.open_now == 1 and lane.state is LaneState.READY)
        yield desk


def hold_commits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Hold up commits in the writer's thread until the event is set."""
    finish, held = Store.finish, threading.Event()

    def wait(store: Store) -> None:
        held.wait()
        finish(store)

    monkeypatch.setattr(Store, "finish", wait)
    return held


def by_key(numbers: Sequence[int]) -> list[list[int]]:
    """Sort by key."""
    return [[number for number in numbers if number % KEYS == key] for key in range(KEYS)]


def read(kafka: FakeKafka) -> list[list[int]]:
    """Give what each key's subscriber sees."""
    return by_key([number_of(record.value) for at in kafka.topics[TOPIC].partitions for _, record in at.log])


async def test_a_flight_comes_to_disk_with_its_delivery(kafka: FakeKafka, life: Life) -> None:
    """What its commit brought is on its way already: the lane journals nothing for itself but the last settlement."""
    tape = Tape(life.spool)
    async with publishing(life, kafka, tape) as desk:
        for _ in range(3):
            await desk.take(2)
            await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key(range(1, 7))
    assert [len(flights) for flights in desk.flown.values()] == [1] * 6
    assert {flights[0].base_sequence for flights in desk.flown.values()} == {0, 2, 4}
    assert not any(journal.flights for journal in tape.journals)


async def test_what_has_landed_is_settled_with_what_is_booked(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one commit, so that a lane that is busy has none of its own."""
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    tape = Tape(life.spool)
    async with publishing(life, kafka, tape) as desk:
        for number in (1, 2, 3):
            await desk.take(1)
            await until(lambda: len(life.done) == number - 1 and not desk.lanes[TOPIC].flights)  # noqa: B023
            assert [done.number for done in life.done] == list(range(1, number))
        assert tape.journals == []


@pytest.mark.parametrize("unwell", ["behind", "troubled"])
async def test_a_lane_that_is_not_ready_books_nothing(kafka: FakeKafka, life: Life, unwell: str) -> None:
    """Where it is behind, older records come first; where it has an answer due, it gathers nothing more."""
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        assert len(desk.flown[1]) == 1
        await until(lambda: life.spool.pending == 0)
        lane = desk.lanes[TOPIC]
        if unwell == "behind":
            lane.cursor.behind = True  # type: ignore[misc] # of the simplest cursor it is a plain value
        else:
            lane._trouble.delay(9.0, "", 0)
        await desk.take(1)
        assert desk.flown[2] == []
        await until(lambda: read(kafka) == by_key([1, 2]))


async def test_a_repeat_within_the_commit_is_booked_once(kafka: FakeKafka, life: Life) -> None:
    """Its record is that of the first one."""
    async with publishing(life, kafka) as desk:
        entry = Entry(Delivery("s", b"{}", "", "", 0.0), "1", None, "1", bytes(16), Status.PENDING)
        records = [life.item(1).record]
        await asyncio.gather(*(life.spool.append(entry, desk.on_disk, records) for _ in range(3)))
        assert [[number for number, _ in flight.items] for flight in desk.flown[1]] == [[1]]
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key([1])


async def test_a_commit_that_is_made_again_books_nothing(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was found full: what was booked the first time is not in the way of the lane's own journal."""
    finish, full = Store.finish, [True]

    def fail(store: Store) -> None:
        if full:
            full.clear()
            store._roll_back()
            store._open = None
            raise Unavailable("the disk is full", cause=Cause.SPOOL_FULL)
        finish(store)

    async with publishing(life, kafka) as desk:
        monkeypatch.setattr(Store, "finish", fail)
        await desk.take(2)
        assert (desk.refused, desk.flown) == (0, {1: [], 2: []})
        await until(lambda: life.spool.pending == 0)
        await desk.take(1)
        assert len(desk.flown[3]) == 1
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key([1, 2, 3])


async def test_a_fault_of_ours_sends_the_lane_into_recovery(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit stands and is told, and what it booked is handed over as any flight, once."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    adopt, faults = Logbook.adopt, [True]

    def fail(logbook: Logbook, journalled: Journalled, items: Iterable[Sequence[Item]]) -> list[Batch]:
        batches = adopt(logbook, journalled, items)
        if faults:
            faults.clear()
            raise ValueError("a fault of ours")
        return batches

    async with publishing(life, kafka) as desk:
        monkeypatch.setattr(Logbook, "adopt", fail)
        with capture_logs() as told:
            await desk.take(2)
            await until(lambda: life.spool.pending == 0)
        assert "lane.broken" in [line["event"] for line in told]
        await desk.take(1)
        await until(lambda: life.spool.pending == 0)
    assert (read(kafka), desk.refused, life.recoveries) == (by_key([1, 2, 3]), 0, 1)


async def test_one_round_is_booked_ahead_and_sent_when_the_one_before_has_landed(kafka: FakeKafka, life: Life) -> None:
    """What comes meanwhile waits: one batch in flight a partition."""
    kafka.silent.add(TOPIC)
    sent: list[int] = []
    kafka.watch = lambda _, batches: sent.append(len(batches))
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(kafka.hung.is_set)
        for _ in range(3):
            await desk.take(1)
        assert [len(desk.flown[number]) for number in (1, 2, 3, 4)] == [1, 1, 0, 0]
        assert sent == [1]
        kafka.silent.clear()
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key(range(1, 5))


async def test_what_waits_is_booked_with_what_comes(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, or the newer one would overtake it; and the lane sends it as soon as it has seen it."""
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    await life.accept(1)
    await life.spool.recall()
    chosen = asyncio.Event()

    async def rest() -> None:
        await chosen.wait()

    tape = Tape(life.spool)
    tape.rest = rest
    lane = Lane(TOPIC, Line(await life.waiting()), life.neighbours(kafka, tape, idle_timeout=60.0))
    async with running(lane):
        await until(lambda: kafka.open_now == 1)
        await asyncio.sleep(0.01)
        desk = Desk(life, lane)
        await desk.take(1)
        assert [[number for number, _ in flight.items] for flight in desk.flown[2]] == [[1, 2]]
        chosen.set()
        await until(lambda: read(kafka) == by_key([1, 2]))


async def test_what_a_lane_chooses_for_itself_is_not_booked_as_well(kafka: FakeKafka, life: Life) -> None:
    """Also where a commit is drawn up between its choice and its journal."""

    class Slow(Line):
        async def peek(self, max_bytes: int) -> Sequence[Item]:
            items = await super().peek(max_bytes)
            if items and not desk.flown:
                await desk.take(1)
            return items

    line = Slow()
    lane = Lane(TOPIC, line, life.neighbours(kafka, idle_timeout=60.0))
    await life.spool.recall()
    async with running(lane):
        desk = Desk(life, lane)
        await until(lambda: kafka.open_now == 1 and lane.state is LaneState.READY)
        await asyncio.sleep(0.01)
        [item] = await life.accept(1)
        lane.push(item)
        await until(lambda: bool(desk.flown) and life.spool.pending == 0)
    assert read(kafka) == by_key([1, 2])


async def test_what_could_not_be_stored_is_not_sent(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is it in the way: those behind it are published, under the numbers that it would have had."""
    finish, failures, booked = Store.finish, [True], []

    def fail(store: Store) -> None:
        if failures:
            booked.append(desk.lanes[TOPIC]._logbook.busy)
            failures.clear()
            store._roll_back()
            store._open, store.sound = None, False
            raise Unavailable("the disk failed")
        finish(store)

    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(lambda: life.spool.pending == 0)
        monkeypatch.setattr(Store, "finish", fail)
        await desk.take(3)
        assert desk.refused == 3
        await until(lambda: life.spool.fault is None)
        await desk.take(2)
        await until(lambda: life.spool.pending == 0)
    assert (booked, read(kafka)) == ([True], by_key([1, 2, 3]))


async def test_a_record_that_was_not_handed_on_holds_nothing_back(kafka: FakeKafka, life: Life) -> None:
    """Its round is booked anew without it, and the next start publishes it: each once, whatever its numbers were."""
    async with publishing(life, kafka) as desk:
        desk.stranded = {2, 4}
        with capture_logs() as told:
            await desk.take(3)
            await desk.take(1)
            await until(lambda: life.spool.pending == 2)
            await desk.take(1)
            await until(lambda: life.spool.pending == 2)
    assert "lane.broken" not in [line["event"] for line in told]
    assert len(desk.flown[1]) == 1
    assert (read(kafka), life.doubts) == (by_key([1, 3, 5]), 0)
    assert await life.live(kafka)
    assert read(kafka) == [[], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize("fault", [LOSE_ANSWER, HANG])
async def test_a_round_that_fails_is_recovered_with_the_one_booked_behind_it(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """In order, and each once."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka.faults.append(fault)
    async with publishing(life, kafka) as desk:
        for _ in range(3):
            await desk.take(2)
        assert len(desk.flown[3]) == 1
        kafka.delivery_timeout = 0
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key(range(1, 7))
    assert life.doubts == 0


@pytest.mark.parametrize("late", [False, True])
async def test_a_round_that_was_never_sent_is_in_no_doubt(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """The broker has forgotten the one before it, which may be there; what was booked behind it cannot be."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka.faults.append(LOSE_ANSWER)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(kafka.hung.is_set)
        lane, held = desk.lanes[TOPIC], hold_commits(monkeypatch)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.take(2))
            await until(lambda: lane._logbook.busy)
            if not late:
                held.set()
                await until(lambda: not lane._logbook.busy)
            kafka.topics[TOPIC].partitions[0].producers.clear()
            kafka.topics[TOPIC].id += 1
            kafka.delivery_timeout = 0
            await until(lambda: lane.trouble is not None or life.recoveries == 1)
            held.set()
        assert len(desk.flown[3]) == 1
        await until(lambda: life.spool.pending == 0)
    assert (read(kafka), life.doubts) == (by_key([1, 1, 2, 3]), 1)


async def test_lanes_that_come_and_go_publish_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes end and begin, answers are lost, deliveries come whenever they will: no flight is left without a lane."""
    monkeypatch.setattr("relay.lane.lane.LULL", 0.0005)
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    chance = random.Random(20261127)
    kafka = FakeKafka(delivery_timeout=0.005)
    kafka.create_topic(TOPIC, partitions=3)
    async with Life(tmp_path, TOPIC) as life:
        await life.spool.recall()
        with capture_logs() as told:
            async with asyncio.TaskGroup() as tasks:
                desk = Desk(life, tasks=tasks, neighbours=life.neighbours(kafka, idle_timeout=0.004))
                while desk.opened < 8 or life.spool.last_number < 1000:
                    await desk.take(chance.randrange(1, 6))
                    await asyncio.sleep(chance.choice((0, 0, 0, 0.002, 0.004, 0.005, 0.006)))
                    if chance.random() < 0.02 and not kafka.faults:  # or a lane that is slow would never be well again
                        kafka.faults.append(chance.choice((LOSE_ANSWER, refuse())))
        assert "lane.broken" not in [line["event"] for line in told]
        booked = sum(bool(flights) for flights in desk.flown.values())
        assert read(kafka) == by_key(range(1, life.spool.last_number + 1))
        assert (life.doubts, life.spool.pending, await life.spool.flights()) == (0, 0, [])
    assert booked > 0


async def test_a_lane_settles_behind_the_commit_that_settles_for_it(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What landed is settled once, whoever asks for it meanwhile, and however often who asks is cancelled."""
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    async with publishing(life, kafka) as desk:
        lane = desk.lanes[TOPIC]
        await desk.take(1)
        await until(lambda: read(kafka) == by_key([1]) and not lane.flights)
        held = hold_commits(monkeypatch)
        taking = asyncio.ensure_future(desk.take(1))
        await until(lambda: lane._logbook.busy)
        settling, cancelled = asyncio.ensure_future(lane.settle()), asyncio.ensure_future(lane.settle())
        for _ in range(3):
            await asyncio.sleep(0.001)
            cancelled.cancel()
        assert [settling.done(), cancelled.done()] == [False, False]
        held.set()
        await asyncio.gather(taking, settling)
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert [done.number for done in life.done] == [1]


async def test_nothing_is_booked_while_keys_may_have_moved(kafka: FakeKafka, life: Life) -> None:
    """Where partitions were added, what is aloft comes first, or a newer record of its key could be there before it."""
    kafka.faults.append(HANG)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(kafka.hung.is_set)
        kafka.topics[TOPIC].partitions.append(Partition())
        await desk.take(1)
        assert (len(desk.flown[1]), desk.flown[2]) == (1, [])


async def test_nothing_is_booked_with_a_delivery_of_unknown_records(kafka: FakeKafka, life: Life) -> None:
    """The others would overtake it, and the lane would pass it over."""
    async with publishing(life, kafka) as desk:
        entry = Entry(Delivery("s", b"{}", "", "", 0.0), "1", None, "1", bytes(16), Status.PENDING)
        await asyncio.gather(life.spool.append(entry, desk.on_disk), desk.append(2))
        assert desk.flown == {1: [], 2: []}
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key([1, 2])


async def test_a_lane_that_has_not_begun_books_nothing(kafka: FakeKafka, life: Life) -> None:
    """It waits for its turn, or has yet to hear of its topic."""
    lane = Lane(TOPIC, Line(), life.neighbours(kafka))
    await life.spool.recall()
    desk = Desk(life, lane)
    with capture_logs() as told:
        await desk.take(1)
    assert (told, desk.flown) == ([], {1: []})
    await lane.run()
    assert read(kafka) == by_key([1])


async def test_a_commit_that_has_a_journal_of_the_lane_books_nothing(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what landed would be settled twice."""
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(lambda: read(kafka) == by_key([1]) and not desk.lanes[TOPIC].flights)
        with capture_logs() as told:
            await asyncio.gather(desk.lanes[TOPIC].settle(), desk.take(1))
        assert (told, desk.flown[2]) == ([], [])
        await until(lambda: read(kafka) == by_key([1, 2]))


async def test_a_dead_letter_is_settled_without_a_lull(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was told that it is dead finds it so at once."""
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1, limit=100)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(lambda: [done.reason for done in life.done] == [Reason.TOO_LARGE])


@pytest.mark.parametrize("seed", range(12))
async def test_a_crash_at_any_step_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Each process publishes what the one before had booked and did not send, in order."""
    chance = random.Random(seed)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=2)
    async with Life(tmp_path, TOPIC) as life:
        await life.spool.recall()
        booked = 0
        for _ in range(12):
            doom = Doom(chance.randrange(14))
            lane = await life.lane(DoomedKafka(kafka, doom), DoomedSpool(life.spool, doom))
            desk = Desk(life, lane)
            running_lane = asyncio.ensure_future(lane.run())
            while not running_lane.done():
                await desk.take(chance.randrange(1, 4))
                await asyncio.sleep(chance.choice((0, 0.001)))
            life.spool.booker = None
            booked += sum(bool(flights) for flights in desk.flown.values())
            with suppress(Crash):
                await running_lane
            await life.spool.rest()
        assert await life.live(kafka)
        assert read(kafka) == by_key(range(1, life.spool.last_number + 1))
        assert (life.doubts, life.spool.pending, await life.spool.flights()) == (0, 0, [])
        assert booked > 0


async def test_what_is_too_large_for_its_topic_is_never_booked(tmp_path: Path) -> None:
    """It would be refused, and take the whole round with it."""
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1, limit=4000)
    async with Life(tmp_path, TOPIC, {2: 5000}) as life, publishing(life, kafka) as desk:
        await desk.take(3)
        await until(lambda: life.spool.pending == 0)
    assert (read(kafka), life.recoveries) == (by_key([1, 3]), 0)
    assert [done.reason for done in life.done if done.reason] == [Reason.TOO_LARGE]


async def test_what_would_have_to_be_read_is_not_settled_in_a_commit_of_deliveries(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slow disk would hold up the event loop."""
    monkeypatch.setattr("relay.lane.bookings.WARM", 3)
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(lambda: read(kafka) == by_key([1]) and not desk.lanes[TOPIC].flights)
        await life.accept(1)
        await desk.take(1)
        assert len(desk.flown[3]) == 1, "it is near enough"
        await until(lambda: not desk.lanes[TOPIC].flights)
        await life.accept(4)
        await desk.take(1)
        assert desk.flown[8] == []
