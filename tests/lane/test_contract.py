"""The contract of a lane, kept on the fake and on real Kafka alike: each record once, in order, whatever breaks."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Reason
from relay.core.model import Status
from relay.kafka import Identity, partition_of
from relay.lane import Lane
from relay.metrics import LaneState
from relay.spool import Flight
from tests.lane.life import KEYS, Doom, Life, Line, number_of
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from relay.lane import Batch, Item
    from tests.lane.conftest import Scene


async def numbers(scene: Scene, topic: str) -> list[list[int]]:
    """Read what each key's subscriber sees, by its deliveries' numbers, in order of partitions and offsets."""
    read = [number_of(value) for partition in await scene.read(topic) for value in partition]
    return [[number for number in read if number % KEYS == key] for key in range(KEYS)]


def each(numbered: Iterable[int]) -> list[list[int]]:
    """Give what the keys' subscribers must see of these deliveries: each once, in order of acceptance."""
    ordered = sorted(numbered)
    return [[number for number in ordered if number % KEYS == key] for key in range(KEYS)]


async def board(scene: Scene, life: Life, items: Sequence[Item], partition: int, **other: object) -> Batch:
    """Journal a flight under an id that the broker gave, as a process does before it sends."""
    producer = await scene.kafka.open_producer(await scene.kafka.topic(life.topic))
    await producer.kill()
    known = producer.identity
    values = {
        "id": 0, "topic": life.topic, "partition": partition, "cluster": known.cluster, "base_sequence": 0,
        "producer_id": known.producer_id, "producer_epoch": known.producer_epoch, "sent_at": time.time(), "items": (),
    }  # fmt: skip
    return await life.board(Flight(**(values | other)), items)  # type: ignore[arg-type] # the fields as they are named


async def send(scene: Scene, batch: Batch, topic: str) -> None:
    """Send a journalled batch, and be gone before it is settled."""
    producer = await scene.kafka.open_producer(await scene.kafka.topic(topic), batch.identity)
    producer.rewind(batch.partition, batch.flight.base_sequence)
    await producer.send({batch.partition: batch.records}, lambda *_: False)
    await producer.kill()


async def cluster_of(scene: Scene, topic: str) -> str:
    """Give the id of the cluster alone, without that of the topic."""
    producer = await scene.kafka.open_producer(await scene.kafka.topic(topic))
    await producer.kill()
    return producer.identity.cluster.partition("/")[0]


async def assert_settled(life: Life) -> None:
    """Nothing is pending and nothing aloft."""
    assert (life.spool.pending, await life.flights()) == (0, [])


async def test_records_are_published_once_in_order_and_settled(scene: Scene, topic: str, tmp_path: Path) -> None:
    """What waits is published, each record once, each key in order; the spool knows where every record is."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        await life.accept(100)
        assert await life.live(scene.kafka, max_batch=1000)
        await assert_settled(life)
        assert await numbers(scene, topic) == each(range(1, 101))
        places = await scene.read(topic)
        for number in (1, 50, 100):
            fact = await life.spool.fact(number)
            assert fact
            assert fact.status is Status.PUBLISHED
            [placed] = fact.records
            assert placed.offset is not None
            assert number_of(places[placed.partition][placed.offset]) == number
        assert life.count("relay_records_published_total") == 100
        assert (life.doubts, life.recoveries) == (0, 0)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_flight_of_an_earlier_process_is_published_once(
    scene: Scene, topic: str, tmp_path: Path, *, sent: bool
) -> None:
    """A flight that had been sent is recognised and not doubled; one that had not been is sent."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        items = await life.accept(10)
        batch = await board(scene, life, items, 1)
        if sent:
            await send(scene, batch, topic)
        assert await life.live(scene.kafka)
        await assert_settled(life)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 11))
        fact = await life.spool.fact(10)
        assert fact
        assert [placed.offset for placed in fact.records] == [9]
        assert (life.doubts, life.recoveries) == (0, 1)


@pytest.mark.parametrize("sent", [True, False])
async def test_recovery_precedes_publishing(scene: Scene, topic: str, tmp_path: Path, *, sent: bool) -> None:
    """What an earlier process had in flight comes before what waits, also within a key."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        items = await life.accept(30)
        mine = [item for item in items[:20] if partition_of(item.record.key, 3) == 2]
        batch = await board(scene, life, mine, 2)
        if sent:
            await send(scene, batch, topic)
        lane = await life.lane(scene.kafka)
        assert str(lane.state) == LaneState.RECOVERING
        await lane.run()
        assert str(lane.state) == LaneState.READY
        assert await numbers(scene, topic) == each(range(1, 31))
        await assert_settled(life)


async def test_a_flight_of_another_cluster_is_booked_anew(scene: Scene, topic: str, tmp_path: Path) -> None:
    """Another cluster may know the same id with the same numbers: its flight is never handed over under them."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        items = await life.accept(20)
        here = await board(scene, life, items[:10], 1)
        await send(scene, here, topic)
        there = await board(
            scene, life, items[10:], 1, cluster="another",
            producer_id=here.flight.producer_id, producer_epoch=here.flight.producer_epoch,
        )  # fmt: skip
        assert there.identity == Identity("another", here.identity.producer_id, here.identity.producer_epoch)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 21))
        assert life.doubts == 10
        await assert_settled(life)


async def test_a_flight_of_a_topic_that_was_made_anew_is_counted(scene: Scene, topic: str, tmp_path: Path) -> None:
    """A topic of the same name and size that is another remembers nothing: subscribers may have read its records."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        batch = await board(scene, life, await life.accept(10), 1)
        await send(scene, batch, topic)
        await scene.make_anew(topic)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 11))
        assert life.doubts == 10
        await assert_settled(life)


async def test_what_went_to_the_topic_made_anew_already_is_recognised_there(
    scene: Scene, topic: str, tmp_path: Path
) -> None:
    """Producers know topics by name: a batch that was journalled for the old one may have been sent to the new one."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        batch = await board(scene, life, await life.accept(10), 1)
        await scene.make_anew(topic)
        await send(scene, batch, topic)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 11))
        assert life.doubts == 10
        await assert_settled(life)


async def test_a_flight_that_names_only_its_cluster_is_recognised(scene: Scene, topic: str, tmp_path: Path) -> None:
    """Flights were journalled before topics' ids were: they are as good as they were."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        cluster = await cluster_of(scene, topic)
        await send(scene, await board(scene, life, await life.accept(10), 1, cluster=cluster), topic)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 11))
        assert life.doubts == 0
        await assert_settled(life)


@pytest.mark.parametrize("age", [3601.0, -3600.0])
async def test_a_flight_the_broker_may_have_forgotten_is_counted(
    scene: Scene, topic: str, tmp_path: Path, age: float
) -> None:
    """Too old, or from the future, a flight's records count as possible duplicates, once, and are handed over."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        batch = await board(scene, life, await life.accept(10), 1, sent_at=time.time() - age)
        await send(scene, batch, topic)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 11))
        assert life.doubts == 10
        await assert_settled(life)


async def test_a_batch_that_is_not_the_next_is_booked_anew(scene: Scene, topic: str, tmp_path: Path) -> None:
    """A broker that knows the id but not the batch gets it under a fresh one, counted; so do those behind it."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        items = await life.accept(30)
        first = await board(scene, life, items[:10], 1)
        await send(scene, first, topic)
        same = {"producer_id": first.flight.producer_id, "producer_epoch": first.flight.producer_epoch}
        await board(scene, life, items[10:20], 1, base_sequence=500, **same)
        await board(scene, life, items[20:], 1, base_sequence=510, **same)
        assert await life.live(scene.kafka)
        assert [number_of(value) for value in (await scene.read(topic))[1]] == list(range(1, 31))
        assert life.doubts == 20
        await assert_settled(life)


async def test_a_flight_whose_partition_is_gone_goes_by_its_keys(scene: Scene, topic: str, tmp_path: Path) -> None:
    """A topic made anew may have fewer partitions: the records of one that is no more go by their keys, counted."""
    await scene.create(topic)
    async with Life(tmp_path, topic) as life:
        await board(scene, life, await life.accept(20), 7, cluster=f"{await cluster_of(scene, topic)}/{uuid.uuid4()}")
        assert await life.live(scene.kafka)
        assert await numbers(scene, topic) == each(range(1, 21))
        for partition, values in enumerate(await scene.read(topic)):
            expected = {partition_of(b"key-%d" % (number_of(value) % KEYS), 3) for value in values}
            assert expected <= {partition}
        assert life.doubts == 20
        await assert_settled(life)


async def test_a_record_over_the_limit_is_dead_and_the_others_go_on(scene: Scene, topic: str, tmp_path: Path) -> None:
    """A record that no batch could carry is dead before it is sent, and those behind it are published."""
    await scene.create(topic, limit=4000)
    async with Life(tmp_path, topic, {3: 5000, 4: 3000, 9: 3700}) as life:
        await life.accept(20)
        assert await life.live(scene.kafka)
        assert await numbers(scene, topic) == each(set(range(1, 21)) - {3, 9})
        dead = [(done.number, done.reason) for done in life.done if done.status is Status.DEAD]
        assert dead == [(3, Reason.TOO_LARGE), (9, Reason.TOO_LARGE)]
        assert life.recoveries == 0
        await assert_settled(life)


async def test_a_limit_that_was_raised_counts(scene: Scene, topic: str, tmp_path: Path) -> None:
    """Before a record is dead for its size the topic is asked again: what an open lane knows of it may be old."""
    await scene.create(topic, partitions=1, limit=2000)
    async with Life(tmp_path, topic, {1: 3000, 3: 3000, 4: 9000}) as life:
        line = Line(await life.accept(2))
        lane = Lane(topic, line, life.neighbours(scene.kafka, idle_timeout=600.0))
        running = asyncio.ensure_future(lane.run())
        await until(lambda: life.spool.pending == 0)
        assert [(done.number, done.reason) for done in life.done if done.reason] == [(1, Reason.TOO_LARGE)]
        await scene.limit(topic, 5000)
        line.push(*await life.accept(3))
        await until(lambda: life.spool.pending == 0)
        assert [(done.number, done.reason) for done in life.done if done.reason][1:] == [(4, Reason.TOO_LARGE)]
        running.cancel()
        await asyncio.wait([running])
        assert [number_of(value) for [*values] in await scene.read(topic) for value in values] == [2, 3, 5]
        assert life.recoveries == 0


async def test_no_batch_outgrows_the_topic(scene: Scene, topic: str, tmp_path: Path) -> None:
    """Of records so small that most of a batch is what surrounds them, no batch is refused for its size."""
    await scene.create(topic, partitions=1, limit=2000)
    async with Life(tmp_path, topic) as life:
        await life.accept(300)
        assert await life.live(scene.kafka)
        assert await numbers(scene, topic) == each(range(1, 301))
        assert life.recoveries == 0


@pytest.mark.parametrize("refused", [{5}, {1}, {16}, {2, 3, 11}, set(range(1, 17))])
async def test_a_refused_batch_is_halved_down_to_the_record(
    scene: Scene, topic: str, tmp_path: Path, refused: set[int]
) -> None:
    """Of a batch refused for its content only the records that are refused alone are dead; order and count stay."""
    await scene.create(topic, partitions=1, limit=4000)
    async with Life(tmp_path, topic, dict.fromkeys(refused, 5000)) as life:
        await life.accept(16)
        # The limit was lowered after the lane had asked for it.
        assert await life.live(scene.kafka, max_batch=900_000)
        assert [number_of(value) for partition in await scene.read(topic) for value in partition] == [
            number for number in range(1, 17) if number not in refused
        ]
        dead = {done.number: done.reason for done in life.done if done.status is Status.DEAD}
        assert dead == dict.fromkeys(refused, Reason.REFUSED)
        assert life.doubts == 0
        await assert_settled(life)


@pytest.mark.parametrize("count", [1, 8])
async def test_a_batch_in_kafka_that_is_refused_now_is_found_there(
    scene: Scene, topic: str, tmp_path: Path, count: int
) -> None:
    """What was written before the topic's limit was lowered is neither halved nor dead: it is where it was put."""
    await scene.create(topic, partitions=1)
    async with Life(tmp_path, topic, dict.fromkeys(range(1, count + 1), 3000)) as life:
        items = await life.accept(count + 2)
        await send(scene, await board(scene, life, items[count:], 0), topic)  # stands before it, and is no part of it
        await send(scene, await board(scene, life, items[:count], 0), topic)
        await scene.limit(topic, 1000)
        assert await life.live(scene.kafka)
        [values] = await scene.read(topic)
        assert [number_of(value) for value in values] == [count + 1, count + 2, *range(1, count + 1)]
        assert {done.status for done in life.done} == {Status.PUBLISHED}
        fact = await life.spool.fact(count)
        assert fact
        assert [placed.offset for placed in fact.records] == [count + 1]
        assert life.doubts == 0
        await assert_settled(life)


async def test_a_missing_topic_is_waited_for(scene: Scene, topic: str, tmp_path: Path) -> None:
    """Records for a topic that is not there wait, and the lane says so; when it comes they are published."""
    async with Life(tmp_path, topic) as life:
        await life.accept(5)
        lane = await life.lane(scene.kafka)
        running = asyncio.ensure_future(lane.run())
        await until(lambda: lane.trouble is not None)
        assert str(lane.state) == LaneState.WAITING
        assert f"topic {topic} does not exist" in (lane.trouble or "")
        await scene.create(topic)
        await running
        assert str(lane.state) == LaneState.READY
        assert await numbers(scene, topic) == each(range(1, 6))


@pytest.mark.parametrize("seed", range(2))
async def test_ten_crashes_lose_double_and_reorder_nothing(scene: Scene, topic: str, tmp_path: Path, seed: int) -> None:
    """A process that ends at any moment, of a commit or a send or a recovery, leaves what the next one completes."""
    await scene.create(topic)
    chance = random.Random(seed)
    crashes = 0
    async with Life(tmp_path, topic) as life:
        while crashes < 10:
            await life.accept(10)
            crashes += not await life.live(scene.kafka, Doom(chance.randrange(30)), max_batch=300)
        assert await life.live(scene.kafka, max_batch=300)
        assert await numbers(scene, topic) == each(range(1, life.spool.last_number + 1))
        assert life.doubts == 0
        await assert_settled(life)


@pytest.mark.parametrize("step", range(16))
async def test_a_crash_while_halving_loses_nothing(scene: Scene, topic: str, tmp_path: Path, step: int) -> None:
    """Also between the halves of a refused batch a crash changes neither order nor outcome."""
    await scene.create(topic, partitions=1, limit=4000)
    async with Life(tmp_path, topic, {3: 5000}) as life:
        await life.accept(8)
        await life.live(scene.kafka, Doom(step), max_batch=900_000)
        assert await life.live(scene.kafka, max_batch=900_000)
        [values] = await scene.read(topic)
        assert [number_of(value) for value in values] == [1, 2, 4, 5, 6, 7, 8]
        assert {done.number: done.reason for done in life.done if done.status is Status.DEAD}.keys() <= {3}
        await assert_settled(life)
