"""Bookings: a lane's next round, journalled in the commit that brings its deliveries to disk."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Reason, Unavailable
from relay.core.model import Delivery, Status
from relay.forwarder.booker import Booker
from relay.lane import Lane
from relay.metrics import LaneState
from relay.spool import WARM, Entry, Flight
from relay.spool.reader import Reader
from relay.spool.store import Store
from tests.lane.fake_kafka import LOSE_ANSWER, FakeKafka, Fault, refuse
from tests.lane.life import KEYS, Crash, Doom, DoomedKafka, DoomedSpool, Life, Line, number_of
from tests.lane.test_lane import running
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from relay.lane import Item, Neighbours
    from relay.spool import Appended

TOPIC = "t"


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


@pytest.fixture
def kafka() -> FakeKafka:
    """Give a Kafka with one topic of one partition."""
    kafka = FakeKafka()
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
        life.spool.booker = Booker(self.lanes)
        self.flown: dict[int, list[Flight]] = {}
        self.stranded: set[int] = set()
        self.refused = self.opened = 0

    async def take(self, count: int) -> None:
        """Take so many at once; those that could not be stored are counted."""
        first = self._life.spool.last_number + 1
        await asyncio.gather(*(self._append(number) for number in range(first, first + count)))

    async def _append(self, number: int) -> None:
        named = f"{number}-{random.random()}"
        entry = Entry(Delivery("s", b"{}", "", "", 0.0), named, None, named, b"%16d" % number, Status.PENDING)
        try:
            await self._life.spool.append(entry, self._on_disk, [self._life.item(number).record])
        except Unavailable:
            self.refused += 1

    def _on_disk(self, appended: Appended) -> None:
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
async def publishing(life: Life, kafka: FakeKafka) -> AsyncIterator[Desk]:
    """Let a lane publish, which has been ready once, and take deliveries in for it."""
    lane = Lane(TOPIC, Line(await life.waiting()), life.neighbours(kafka, idle_timeout=60.0), await life.flights())
    await life.spool.recall()  # what is not in memory yet is looked for on disk, and nothing booked meanwhile
    async with running(lane):
        desk = Desk(life, lane)
        await until(lambda: kafka.open_now == 1 and lane.state is LaneState.READY)
        await asyncio.sleep(0.01)
        yield desk


def by_key(numbers: Sequence[int]) -> list[list[int]]:
    """Sort by key."""
    return [[number for number in numbers if number % KEYS == key] for key in range(KEYS)]


def read(kafka: FakeKafka) -> list[list[int]]:
    """Give what each key's subscriber sees."""
    return by_key([number_of(record.value) for at in kafka.topics[TOPIC].partitions for _, record in at.log])


async def test_a_flight_comes_to_disk_with_its_delivery(kafka: FakeKafka, life: Life) -> None:
    """What its commit brought is on its way already, so that nobody waits for a commit more."""
    async with publishing(life, kafka) as desk:
        for _ in range(3):
            await desk.take(2)
            await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key(range(1, 7))
    assert [len(flights) for flights in desk.flown.values()] == [1] * 6
    assert {flights[0].base_sequence for flights in desk.flown.values()} == {0, 2, 4}


async def test_one_round_is_booked_ahead_and_sent_when_the_one_before_has_landed(kafka: FakeKafka, life: Life) -> None:
    """What comes meanwhile waits, and is booked with what comes next: one batch in flight a partition."""
    kafka.silent.add(TOPIC)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(kafka.hung.is_set)
        for _ in range(3):
            await desk.take(1)
        assert [len(desk.flown[number]) for number in (1, 2, 3, 4)] == [1, 1, 0, 0]
        assert read(kafka) == by_key([])
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

    tape = DoomedSpool(life.spool, Doom())
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
    finish, failures = Store.finish, [True]

    def fail(store: Store) -> None:
        if failures:
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
    assert read(kafka) == by_key(range(1, life.spool.last_number + 1))


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
    assert read(kafka) == by_key([1, 3, 5])
    assert await life.live(kafka)
    assert read(kafka) == [[], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize("fault", [LOSE_ANSWER, refuse()])
async def test_a_round_that_fails_is_recovered_with_the_one_booked_behind_it(
    life: Life, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """In order, and each once."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka(delivery_timeout=0.05)
    kafka.create_topic(TOPIC, partitions=1)
    async with publishing(life, kafka) as desk:
        kafka.faults.append(fault)
        await desk.take(2)
        await desk.take(2)
        await desk.take(2)
        await until(lambda: life.spool.pending == 0)
    assert read(kafka) == by_key(range(1, 7))
    assert life.doubts == 0


async def test_a_round_that_was_never_sent_is_in_no_doubt(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker has forgotten the one before it, which may be there; what was booked behind it cannot be."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka(delivery_timeout=0.05)
    kafka.create_topic(TOPIC, partitions=1)
    async with publishing(life, kafka) as desk:
        kafka.faults.append(LOSE_ANSWER)
        await desk.take(1)
        await until(kafka.hung.is_set)
        await desk.take(2)
        assert len(desk.flown[3]) == 1
        kafka.topics[TOPIC].partitions[0].producers.clear()
        kafka.topics[TOPIC].id += 1
        await until(lambda: life.spool.pending == 0)
    assert life.doubts == 1


async def test_lanes_that_come_and_go_publish_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes end and begin, answers are lost, deliveries come whenever they will: no flight is left without a lane."""
    monkeypatch.setattr("relay.lane.lane.LULL", 0.0005)
    chance = random.Random(20261127)
    kafka = FakeKafka(delivery_timeout=0.005)
    kafka.create_topic(TOPIC, partitions=3)
    async with Life(tmp_path, TOPIC) as life:
        await life.spool.recall()
        with capture_logs() as told:
            async with asyncio.TaskGroup() as tasks:
                desk = Desk(life, tasks=tasks, neighbours=life.neighbours(kafka, idle_timeout=0.004))
                for _ in range(400):
                    await desk.take(chance.randrange(1, 6))
                    await asyncio.sleep(chance.choice((0, 0, 0, 0.002, 0.004, 0.005, 0.006)))
                    if chance.random() < 0.02:
                        kafka.faults.append(chance.choice((LOSE_ANSWER, refuse())))
        assert "lane.broken" not in [line["event"] for line in told]
        booked = sum(bool(flights) for flights in desk.flown.values())
        assert read(kafka) == by_key(range(1, life.spool.last_number + 1))
        assert (life.doubts, life.spool.pending, await life.spool.flights()) == (0, 0, [])
    assert booked > life.spool.last_number // 4
    assert desk.opened > 5


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


@pytest.mark.parametrize("seed", range(12))
async def test_a_crash_at_any_step_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Each process publishes what the one before had booked and did not send, in order."""
    chance = random.Random(seed)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=2)
    async with Life(tmp_path, TOPIC) as life:
        await life.spool.recall()
        for _ in range(12):
            doom = Doom(chance.randrange(14))
            lane = await life.lane(DoomedKafka(kafka, doom), DoomedSpool(life.spool, doom))
            desk = Desk(life, lane)
            running_lane = asyncio.ensure_future(lane.run())
            while not running_lane.done():
                await desk.take(chance.randrange(1, 4))
                await asyncio.sleep(chance.choice((0, 0.001)))
            life.spool.booker = None
            with suppress(Crash):
                await running_lane
            await life.spool.rest()
        assert await life.live(kafka)
        assert read(kafka) == by_key(range(1, life.spool.last_number + 1))
        assert (life.doubts, life.spool.pending, await life.spool.flights()) == (0, 0, [])


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
    monkeypatch.setattr("relay.lane.bookings.WARM", 2)
    monkeypatch.setattr("relay.lane.lane.LULL", 600.0)
    async with publishing(life, kafka) as desk:
        await desk.take(1)
        await until(lambda: read(kafka) == by_key([1]) and not desk.lanes[TOPIC].flights)
        await life.accept(4)
        await desk.take(1)
        assert desk.flown[6] == []
    assert WARM > 2
