"""What a lane does when its neighbours fail, as only a fake can be made to."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.core.model import Status
from relay.kafka import Kind
from relay.lane import Lane, Permits
from relay.lane.recovery import READ_BACKS
from relay.metrics import LaneState
from tests.lane.fake_kafka import HANG, LOSE_ANSWER, FakeKafka, refuse
from tests.lane.life import KEYS, Life, Line, number_of
from tests.lane.tape import Tape
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from relay.core.model import Record
    from relay.lane import Journals
    from relay.spool import Flight, Journal, Journalled
    from tests.lane.fake_kafka import FakeProducer

TOPIC = "t"


class Disk:
    """A spool on a disk that refuses the next `refusals` journals that have settlements (or any, if `all_of_them`).

    `durable` is what flights it holds; `refused` is set by the first refusal. Where it `stands`, what is refused is
    written all the same.
    """

    def __init__(self, spool: Journals) -> None:
        """Write to `spool`."""
        self._spool = spool
        self.rest = spool.rest
        self.refusals = 0
        self.all_of_them = self.stands = False
        self.refused = asyncio.Event()
        self.durable: dict[int, Flight] = {}

    async def write(self, journal: Journal) -> Journalled:
        """Write, or refuse."""
        if self.refusals and (journal.settlements or self.all_of_them):
            self.refusals -= 1
            self.refused.set()
            if self.stands:
                await self._spool.write(journal)
            raise Unavailable("the disk is full")
        journalled = await self._spool.write(journal)
        self.durable = {id_: flight for id_, flight in self.durable.items() if id_ not in journal.landed}
        self.durable |= {flight.id: flight for flight in journalled.flights}
        return journalled


@pytest.fixture
def kafka() -> FakeKafka:
    """Give a Kafka with one topic of one partition."""
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1)
    return kafka


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


def published(kafka: FakeKafka, topic: str = TOPIC) -> list[int]:
    """Read the topic's one partition."""
    [partition] = kafka.topics[topic].partitions
    return [number_of(record.value) for _, record in partition.log]


@asynccontextmanager
async def running(lane: Lane) -> AsyncIterator[asyncio.Task[None]]:
    """Let a lane run beside, and end it."""
    task = asyncio.ensure_future(lane.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_round_has_what_the_commit_under_way_brings(kafka: FakeKafka, life: Life) -> None:
    """The round's journal would have to wait for that commit, so what goes into it is chosen when it is over."""
    first, second = await life.accept(2)
    line, tape, over = Line([first]), Tape(life.spool), asyncio.Event()

    async def rest() -> None:
        await over.wait()

    tape.rest = rest
    async with running(Lane(TOPIC, line, life.neighbours(kafka, tape))) as task:
        await until(lambda: kafka.open_now == 1)
        line.push(second)
        over.set()
        await task
    flown = [[number for number, _ in flight.items] for journal in tape.journals for flight in journal.flights]
    assert flown == [[1, 2]]


async def test_a_curable_failure_keeps_the_flight_and_is_waited_out(kafka: FakeKafka, life: Life) -> None:
    """While it lasts the lane says what and since when, and the flight stays on disk; then all is well."""
    kafka.faults.extend([refuse()] * 3)
    await life.accept(10)
    lane = await life.lane(kafka)
    began = time.time()
    async with running(lane) as task:
        await until(lambda: lane.trouble is not None)
        assert str(lane.state) == LaneState.WAITING
        assert lane.trouble == "NOT_ENOUGH_REPLICAS"
        assert began <= lane.since <= time.time()
        since = lane.since
        assert [flight.items[0][0] for flight in await life.spool.flights()] == [1]
        assert (published(kafka), life.spool.pending) == ([], 10)
        await until(lambda: len(kafka.faults) == 0)
        assert lane.since == since or str(lane.state) == LaneState.READY
        await task
    assert str(lane.state) == LaneState.READY
    assert (published(kafka), life.spool.pending, life.doubts) == (list(range(1, 11)), 0, 0)


@pytest.mark.parametrize("fault", [HANG, LOSE_ANSWER])
async def test_a_stuck_producer_ends_and_the_batch_is_recognised(life: Life, fault: object) -> None:
    """Without an answer within `delivery_timeout` the producer is given up; written or not, the batch comes once."""
    kafka = FakeKafka(delivery_timeout=0.05)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.faults.append(fault)  # type: ignore[arg-type] # the parameters are faults
    await life.accept(5)
    await asyncio.wait_for((await life.lane(kafka)).run(), 5)
    assert (published(kafka), life.spool.pending, life.doubts, life.recoveries) == ([1, 2, 3, 4, 5], 0, 0, 1)
    assert kafka.open_now == 0


async def test_a_doubtful_flight_is_counted_once(life: Life) -> None:
    """However often an old flight has to be handed over, its records count as possible duplicates once."""
    kafka = FakeKafka(delivery_timeout=60.0)
    kafka.create_topic(TOPIC, partitions=1)
    await life.accept(5)
    kafka.faults.extend([HANG, refuse(), refuse()])
    async with running(await life.lane(kafka)):
        await kafka.hung.wait()
    lane = Lane(TOPIC, Line(), replace(life.neighbours(kafka), producer_memory=0.0), await life.flights())
    await asyncio.wait_for(lane.run(), 10)
    assert (published(kafka), life.spool.pending) == ([1, 2, 3, 4, 5], 0)
    assert life.doubts == 5


@pytest.mark.parametrize("count", [1, 4])
async def test_what_may_be_in_kafka_and_is_refused_is_counted_when_nobody_may_look(
    life: Life, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A batch in doubt that is refused for its content, in a topic that may not be read, counts once; so it is said."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka(delivery_timeout=0.01)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.readable = False
    kafka.faults.append(LOSE_ANSWER)
    kafka.faults.extend([refuse(Kind.CONTENT, "MESSAGE_TOO_LARGE")] * (READ_BACKS - 1 + 2 * count - 1))
    await life.accept(count)
    with capture_logs() as told:
        await asyncio.wait_for((await life.lane(kafka)).run(), 5)
    doubted = [line["records"] for line in told if line["event"] == "flight.doubtful"]
    assert (life.doubts, doubted) == (count, [count])
    assert [done.status for done in life.done] == [Status.DEAD] * count
    letters = await life.spool.unmirrored(0, ["contoso", "s"])
    assert [letter.number for letter in letters] == list(range(1, count + 1))
    assert all("it may be in Kafka all the same" in letter.detail for letter in letters)


@pytest.mark.parametrize("late", range(1, READ_BACKS))
async def test_what_cannot_be_looked_for_now_is_looked_for_later(
    life: Life, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    """A topic that does not answer when it is read back is asked again: neither dead nor in doubt is what is there."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka(delivery_timeout=0.01)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.readable = False
    kafka.faults.append(LOSE_ANSWER)
    kafka.faults.extend([refuse(Kind.CONTENT, "MESSAGE_TOO_LARGE")] * (late + 1))
    attempts = itertools.count()
    kafka.watch = lambda *_: setattr(kafka, "readable", next(attempts) > late)
    await life.accept(3)
    await asyncio.wait_for((await life.lane(kafka)).run(), 5)
    assert (published(kafka), life.doubts) == ([1, 2, 3], 0)
    assert [done.status for done in life.done] == [Status.PUBLISHED] * 3


async def test_an_idle_lane_closes_its_producer_and_ends(kafka: FakeKafka, life: Life) -> None:
    """A lane with nothing to do keeps its producer for `idle_timeout`, and has settled long before."""
    line = Line(await life.accept(1))
    lane = Lane(TOPIC, line, life.neighbours(kafka, idle_timeout=0.3))
    async with running(lane) as task:
        await until(lambda: life.spool.pending == 0)
        assert not task.done()
        assert kafka.open_now == 1
        line.push(*await life.accept(1))
        await until(lambda: life.spool.pending == 0)
        assert len(kafka.opened) == 1
        await task
    assert kafka.open_now == 0
    assert published(kafka) == [1, 2]


async def test_permits_are_served_in_turn(kafka: FakeKafka, life: Life) -> None:
    """With fewer permits than lanes none holds more than its turn, and an idle one gives way to one that waits."""
    for name in "abc":
        kafka.create_topic(name, partitions=1)
    neighbours = replace(life.neighbours(kafka, idle_timeout=600.0), permits=Permits(1))
    items = await life.accept(3)
    lanes = []
    for name, item in zip("abc", items, strict=True):
        record = structs.replace(item.record, topic=name)
        lanes.append(Lane(name, Line([item._replace(record=record)]), neighbours))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(lane.run()) for lane in lanes]
        await until(lambda: all(len(published(kafka, name)) == 1 for name in "abc"))
        assert [name for name, _ in kafka.opened] == ["a", "b", "c"]
        for task in tasks:
            task.cancel()
    assert kafka.open_most == 1


async def test_a_lane_that_backs_off_holds_no_permit(kafka: FakeKafka, life: Life) -> None:
    """Others never wait for a lane in trouble: it gives its permit back before it waits."""
    neighbours = replace(life.neighbours(kafka), permits=Permits(1))
    one, two = await life.accept(2)
    missing = Lane("missing", Line([one._replace(record=structs.replace(one.record, topic="missing"))]), neighbours)
    async with running(missing):
        await until(lambda: missing.trouble is not None)
        await asyncio.wait_for(Lane(TOPIC, Line([two]), neighbours).run(), 5)
    assert published(kafka) == [2]


@pytest.mark.parametrize("permits", [1, 2, 3])
async def test_lanes_in_trouble_leave_permits_to_the_others(life: Life, permits: int) -> None:
    """However many lanes wait for an answer, one that is well gets a permit, and soon; alone they wait as they may."""
    kafka = FakeKafka(delivery_timeout=600.0)
    kafka.create_topic(TOPIC, partitions=1)
    neighbours = replace(life.neighbours(kafka), permits=Permits(permits))
    items = await life.accept(2 * permits + 1)
    async with AsyncExitStack() as stack:
        for number, item in enumerate(items[1:]):
            kafka.create_topic(f"held-{number}", partitions=1)
            kafka.silent.add(f"held-{number}")
            record = structs.replace(item.record, topic=f"held-{number}")
            await stack.enter_async_context(
                running(Lane(record.topic, Line([item._replace(record=record)]), neighbours))
            )
        await until(lambda: kafka.open_now == permits)
        for sent in range(1, 4):  # again and again: not only before they are known to be in trouble
            async with asyncio.timeout(60):
                await Lane(TOPIC, Line([items[0]]), neighbours).run()
            assert len(published(kafka)) == sent
    assert kafka.open_most <= permits


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 1), (5, 2)])
async def test_lanes_in_trouble_have_half_of_the_permits(count: int, most: int) -> None:
    """The others are never kept waiting by them, nor asked to give way for what they could not have."""
    permits = Permits(count)
    async with AsyncExitStack() as held:
        troubled = [await held.enter_async_context(permits.one(troubled=True)) for _ in range(most)]
        one_more = asyncio.ensure_future(held.enter_async_context(permits.one(troubled=True)))
        well = [await held.enter_async_context(permits.one(troubled=False)) for _ in range(count - most)]
        await asyncio.sleep(0)
        assert not one_more.done()
        assert all(permit.wanted for permit in troubled)
        assert not any(permit.wanted for permit in well)
        waits = asyncio.ensure_future(held.enter_async_context(permits.one(troubled=False)))
        await asyncio.sleep(0)
        assert all(permit.wanted for permit in [*troubled, *well])
        for asked in (one_more, waits):
            asked.cancel()
            await asyncio.wait([asked])
        assert not any(permit.wanted for permit in [*troubled, *well])


async def test_a_lane_that_nobody_waits_for_is_not_hurried(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is waited for as long as `delivery_timeout` says, as long as no other lane wants the permit."""
    monkeypatch.setattr("relay.lane.lane.PATIENCE", 0.01)
    kafka = FakeKafka(delivery_timeout=600.0)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.silent.add(TOPIC)
    await life.accept(1)
    async with running(await life.lane(kafka)):
        await kafka.hung.wait()
        await asyncio.sleep(0.3)
        assert kafka.hung.is_set()
        assert len(kafka.opened) == 1


async def test_lanes_in_trouble_are_served_in_turn(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two lanes in trouble with one permit the one whose cause is gone publishes, though the other still waits."""
    monkeypatch.setattr("relay.lane.lane.PATIENCE", 0.05)
    kafka = FakeKafka(delivery_timeout=600.0)
    neighbours = replace(life.neighbours(kafka), permits=Permits(1))
    lanes = []
    for name, item in zip("ab", await life.accept(2), strict=True):
        kafka.create_topic(name, partitions=1)
        kafka.silent.add(name)
        record = structs.replace(item.record, topic=name)
        lanes.append(Lane(name, Line([item._replace(record=record)]), neighbours))
    async with running(lanes[0]), running(lanes[1]):
        await until(lambda: all(lane.trouble for lane in lanes))
        kafka.silent.remove("b")
        async with asyncio.timeout(60):
            await until(lambda: published(kafka, "b") == [2])
            await until(lambda: lanes[1].trouble is None)


async def test_nothing_is_sent_whose_flight_is_not_durable(kafka: FakeKafka, life: Life) -> None:
    """While the disk refuses flights nothing goes to Kafka; the lane waits, and goes on when it takes them again."""
    disk = Disk(life.spool)
    disk.refusals, disk.all_of_them = 1000, True
    line = Line(await life.accept(10))
    lane = Lane(TOPIC, line, life.neighbours(kafka, disk))
    async with running(lane) as task:
        await until(lambda: lane.trouble == "the disk is full")
        assert (published(kafka), lane.flights, len(line.items)) == ([], [], 10)
        disk.refusals = 0
        await task
    assert (published(kafka), life.spool.pending) == (list(range(1, 11)), 0)


async def test_each_record_in_kafka_was_in_a_durable_flight(life: Life) -> None:
    """At every send, the spool holds a flight with exactly its partition, numbers and records."""
    disk = Disk(life.spool)

    def look(producer: FakeProducer, batches: Mapping[int, Sequence[Record]]) -> None:
        for partition, records in batches.items():
            journalled = [
                [number for number, _ in flight.items]
                for flight in disk.durable.values()
                if (flight.partition, flight.base_sequence, flight.producer_id)
                == (partition, producer.next_sequence(partition), producer.identity.producer_id)
            ]
            assert journalled == [[number_of(record.value) for record in records]]

    kafka = FakeKafka()
    kafka.watch = look
    kafka.create_topic(TOPIC, partitions=3, limit=600)
    kafka.faults.extend([refuse(), LOSE_ANSWER, refuse(Kind.FORGOTTEN)])
    kafka.delivery_timeout = 0.01
    line = Line(await life.accept(50))
    await Lane(TOPIC, line, life.neighbours(kafka, disk)).run()
    assert life.spool.pending == 0
    assert disk.durable == {}
    assert sum(len(partition.log) for partition in kafka.topics[TOPIC].partitions) == 50


async def test_a_failed_settle_is_kept_and_tried_again(kafka: FakeKafka, life: Life) -> None:
    """What Kafka has acknowledged is answered at once, and written down as soon as the disk takes it, once."""
    disk = Disk(life.spool)
    disk.refusals = 2
    items = await life.accept(5)
    lane = Lane(TOPIC, Line(items), life.neighbours(kafka, disk))
    async with running(lane) as task:
        await disk.refused.wait()
        assert all(item.committed.status is Status.PUBLISHED for item in items)
        assert [number for flight in await life.spool.flights() for number, _ in flight.items] == [1, 2, 3, 4, 5]
        assert (life.spool.pending, life.done) == (5, [])
        await task
    assert (published(kafka), life.spool.pending) == ([1, 2, 3, 4, 5], 0)
    assert [done.number for done in life.done] == [1, 2, 3, 4, 5]
    assert await life.spool.flights() == []


async def test_a_lane_whose_flights_have_all_landed_is_not_recovering(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when their settling failed once: it has nothing left to hand over, and answers wait for it again."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka(delivery_timeout=0.01)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.faults.append(LOSE_ANSWER)
    disk = Disk(life.spool)
    disk.refusals = 1
    line = Line(await life.accept(3))
    lane = Lane(TOPIC, line, life.neighbours(kafka, disk, idle_timeout=60.0))
    async with running(lane):
        await until(lambda: disk.refused.is_set() and lane.trouble is None and life.spool.pending == 0)
        assert lane.state is LaneState.READY
    assert (published(kafka), life.recoveries) == ([1, 2, 3], 1)


@pytest.mark.parametrize("stands", [False, True])
async def test_a_refused_record_is_never_dead_and_aloft(
    life: Life, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    """Where its flight could not be taken back it is handed over again, and its end is what comes of that."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1)
    kafka.faults.append(refuse())  # so that it is recovered
    kafka.faults.append(refuse(Kind.CONTENT, "MESSAGE_TOO_LARGE"))
    disk = Disk(life.spool)
    [item] = await life.accept(1)

    def fail_once(*_: object) -> None:
        if len(kafka.faults) == 1:
            disk.refusals, disk.all_of_them, disk.stands = 1, True, stands

    kafka.watch = fail_once
    async with asyncio.timeout(10):
        await Lane(TOPIC, Line([item]), life.neighbours(kafka, disk)).run()
    assert (published(kafka), item.committed.status) == ([1], Status.PUBLISHED)
    assert [done.status for done in life.done] == [Status.PUBLISHED]
    assert (life.spool.pending, await life.spool.flights()) == (0, [])


async def test_an_error_of_ours_holds_back_this_topic_only(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what nobody expected is waited out, told, and does not end the lane."""
    line = Line(await life.accept(3))
    peek, broken = line.peek, [ValueError("a mistake")]

    async def stumble(max_bytes: int) -> Sequence[object]:
        if broken:
            raise broken.pop()
        return await peek(max_bytes)

    monkeypatch.setattr(line, "peek", stumble)
    with capture_logs() as told:
        async with running(Lane(TOPIC, line, life.neighbours(kafka))) as task:
            await task
    failed = [line["error"] for line in told if line["event"] == "lane.failed"]
    assert failed == ["unexpected: ValueError('a mistake')"]
    assert published(kafka) == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_a_key_is_kept_across_failures(
    life: Life, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is refused, lost or unanswered in whatever order, each key's records come once and in order."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_MAX", 0.01)
    chance = random.Random(seed)
    kafka = FakeKafka(delivery_timeout=0.002)
    kafka.create_topic(TOPIC, partitions=3, limit=900)
    faults = [refuse(), refuse(error="REQUEST_TIMED_OUT"), HANG, LOSE_ANSWER]
    kafka.faults.extend(chance.choice([*faults, *[None] * 8]) for _ in range(40))  # type: ignore[misc]
    kafka.open_failures = 2
    await life.accept(200)
    async with asyncio.timeout(40):
        await (await life.lane(kafka)).run()
    assert not kafka.faults
    for key in range(KEYS):
        [seen] = [
            read
            for partition in kafka.topics[TOPIC].partitions
            if (read := [number_of(r.value) for _, r in partition.log if r.key == b"key-%d" % key])
        ]
        assert seen == [number for number in range(1, 201) if number % KEYS == key]
    assert (life.spool.pending, life.doubts) == (0, 0)
