"""Recovery: flights that cannot be handed over as they were journalled, what is told of them, and why."""

from __future__ import annotations

import itertools
import time
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from relay.core.model import Status
from relay.kafka import Identity, Kind, Topic
from relay.lane import Lane
from relay.lane.batch import by_partition, flights_of
from relay.spool import Journal
from tests.lane.fake_kafka import LOSE_ANSWER, FakeKafka, refuse
from tests.lane.life import Life, Line, number_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping, Sequence
    from pathlib import Path

    from relay.lane import Item

TOPIC = "t"
FORGOTTEN = "the broker does not know these batches any more"
OLD = "older than kafka.producer_memory, or from the future"


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


@pytest.fixture
def kafka() -> FakeKafka:
    """Give a Kafka with one topic of three partitions."""
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=3)
    return kafka


async def leave(life: Life, identity: Identity, *groups: tuple[int, Sequence[Item]], **other: float) -> list[int]:
    """Journal a flight for each group as an earlier process would have; give their ids."""
    described = flights_of(TOPIC, groups, identity, dict.fromkeys(range(9), 0))
    flights = tuple(structs.replace(flight, **other) for flight, _ in described)
    return [flight.id for flight in (await life.spool.write(Journal(flights=flights))).flights]


async def recover(kafka: FakeKafka, life: Life) -> list[MutableMapping[str, object]]:
    """Let a lane bring the flights to their end; give what it logged."""
    with capture_logs() as told:
        await Lane(TOPIC, Line(), life.neighbours(kafka), await life.flights()).run()
    assert (life.spool.pending, await life.spool.flights(), kafka.open_now) == (0, [], 0)
    return [*told]


def read(kafka: FakeKafka) -> list[list[int]]:
    """Read the topic, partition by partition, by the numbers of deliveries."""
    return [[number_of(record.value) for _, record in partition.log] for partition in kafka.topics[TOPIC].partitions]


def doubtful(flight: int, records: int, why: str) -> dict[str, object]:
    """Give the line that tells of a flight in doubt."""
    return {
        "event": "flight.doubtful", "log_level": "warning", "topic": TOPIC, "flight": flight, "records": records,
        "why": why,
    }  # fmt: skip


async def test_flights_of_several_partitions_are_booked_anew_together(kafka: FakeKafka, life: Life) -> None:
    """What was journalled behind a flight goes along in its order; all are counted, told, and published once."""
    a, b, c, d, e, f = await life.accept(6)
    groups = (0, [a, b]), (1, [c]), (0, [d, e]), (1, [f])
    first, second, third, fourth = await leave(life, Identity("another", 4000, 0), *groups)
    told = await recover(kafka, life)
    assert told[0] == {"event": "lane.recovering", "log_level": "info", "topic": TOPIC, "flights": 4}
    assert sorted(told[1:-1], key=itemgetter("flight")) == [
        doubtful(first, 2, FORGOTTEN),
        doubtful(second, 1, FORGOTTEN),
        doubtful(third, 2, FORGOTTEN),
        doubtful(fourth, 1, FORGOTTEN),
    ]
    assert told[-1] == {"event": "lane.recovered", "log_level": "info", "topic": TOPIC}
    assert (read(kafka), life.doubts, life.recoveries) == ([[1, 2, 4, 5], [3, 6], []], 6, 1)


async def test_the_first_partition_that_is_gone_is_gone(kafka: FakeKafka, life: Life) -> None:
    """Partitions are numbered from 0: of three there is no fourth, and its records go by their keys."""
    items = await life.accept(6)
    [flight] = await leave(life, Identity("fake", 4000, 0), (3, items))
    assert doubtful(flight, 6, FORGOTTEN) in await recover(kafka, life)
    expected = by_partition(items, 3)
    assert read(kafka) == [[item.number for item in expected.get(partition, [])] for partition in range(3)]


@pytest.mark.parametrize(
    ("producer_id", "age", "why"),
    [
        (4000, 4000.0, OLD),
        (4000, -4000.0, OLD),
        (-1, 0.0, "sent without idempotence"),
    ],
)
async def test_a_flight_that_the_broker_may_not_know_again_is_told(
    kafka: FakeKafka, life: Life, producer_id: int, age: float, why: str
) -> None:
    """It is handed over as it was journalled, and its records are counted as possible duplicates, for that reason."""
    identity = Identity("fake", producer_id, 0)
    [flight] = await leave(life, identity, (1, await life.accept(3)), sent_at=time.time() - age)
    assert [line for line in await recover(kafka, life) if line["event"] == "flight.doubtful"] == [
        doubtful(flight, 3, why)
    ]
    assert (read(kafka), life.doubts) == ([[], [1, 2, 3], []], 3)
    assert [given.producer_id for _, given in kafka.opened][:1] == [4000 if producer_id > 0 else 4001]


async def test_flights_that_the_broker_knows_are_in_no_doubt(kafka: FakeKafka, life: Life) -> None:
    """Young, of this cluster and under one id, they are handed over together, and nothing is said of them."""
    a, b, c = await life.accept(3)
    await leave(life, Identity("fake", 4000, 0), (1, [a, b]), (2, [c]))
    assert [line["event"] for line in await recover(kafka, life)] == ["lane.recovering", "lane.recovered"]
    assert (read(kafka), life.doubts) == ([[], [1, 2], [3]], 0)
    assert [given.producer_id == 4000 for _, given in kafka.opened] == [True, False]


async def test_who_was_handed_over_once_may_be_written(kafka: FakeKafka, life: Life) -> None:
    """A flight booked anew is looked for in the topic from its second attempt on: of the first no answer came."""
    a, b, c = await life.accept(3)
    await leave(life, Identity("another", 4000, 0), (0, [a, b]), (1, [c]))
    kafka.delivery_timeout = 0.01
    kafka.faults.append(LOSE_ANSWER)
    attempts = itertools.count(1)

    def lower_the_limit(*_: object) -> None:
        if next(attempts) == 2:
            kafka.topics[TOPIC].limit = 1

    kafka.watch = lower_the_limit
    await recover(kafka, life)
    assert read(kafka) == [[1, 2], [3], []]
    assert {done.status for done in life.done} == {Status.PUBLISHED}


async def test_a_record_in_doubt_is_counted_once(kafka: FakeKafka, life: Life) -> None:
    """However often its flight is booked anew, and whichever others are between."""
    a, b, c = await life.accept(3)
    await leave(life, Identity("another", 4000, 0), (0, [a, b]), (1, [c]))
    kafka.faults.append(refuse(Kind.FORGOTTEN, "OUT_OF_ORDER_SEQUENCE_NUMBER"))
    await recover(kafka, life)
    assert (read(kafka), life.doubts) == ([[1, 2], [3], []], 3)


async def test_a_broker_that_is_behind_takes_no_partition_away(
    kafka: FakeKafka, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has not heard of added partitions is asked again: what stands in one of them is sent to no other."""
    items = await life.accept(2)
    identity = Identity(f"fake/{kafka.topics[TOPIC].id}", 4000, 0)
    await leave(life, identity, (2, items))
    kafka.topics[TOPIC].take(2, identity, 0, [item.record for item in items])
    known = [Topic(TOPIC, 2, 1 << 20), Topic(TOPIC, 1, 1 << 20)]
    asked = kafka.topic

    async def behind(name: str) -> Topic:
        return known.pop() if known else await asked(name)

    monkeypatch.setattr(kafka, "topic", behind)
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.001)
    told = await recover(kafka, life)
    assert [line["error"] for line in told if line["event"] == "lane.failed"] == [
        "a broker does not know partition 2 of topic t yet"
    ]
    assert (read(kafka), life.doubts) == ([[], [], [1, 2]], 0)
