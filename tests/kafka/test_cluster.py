"""The cluster that other tests trust: what it does to brokers is what they believe it does."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.kafka.cluster import Cluster
from tests.kafka.reader import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def own(kafka_installed: None) -> Iterator[Cluster]:
    """Give a broker that these tests may end."""
    with Cluster(config={"message.max.bytes": "2048"}) as cluster:
        yield cluster


async def write(cluster: Cluster, topic: str, *values: bytes) -> None:
    """Write a record a value, with the value as its key, each acknowledged before the next."""
    async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap_servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=value, headers=[("h", value)])


async def test_read_topic_gives_every_record_once(kafka: Cluster) -> None:
    """Reading gives all records of all partitions, with key, value and headers, sorted by place."""
    topic = f"read-{uuid.uuid4()}"
    kafka.create_topic(topic)
    values = [f"{n}".encode() for n in range(50)]
    await write(kafka, topic, *values)
    records = await read_topic(kafka.bootstrap_servers, topic)
    assert sorted(r.value or b"" for r in records) == sorted(values)
    assert {r.partition for r in records} == {0, 1, 2}
    assert records == sorted(records)
    assert all(r.key == r.value and dict(r.headers) == {"h": r.value} for r in records)


async def test_an_empty_topic_reads_as_nothing(kafka: Cluster) -> None:
    """A topic without records is read to its end at once."""
    topic = f"empty-{uuid.uuid4()}"
    kafka.create_topic(topic)
    assert await read_topic(kafka.bootstrap_servers, topic) == []


async def test_topics_are_not_created_by_being_used(kafka: Cluster) -> None:
    """A topic nobody created does not come to be: reading it is an error, and stays one."""
    topic = f"absent-{uuid.uuid4()}"
    for _ in range(2):
        with pytest.raises(UnknownTopicOrPartitionError):
            await read_topic(kafka.bootstrap_servers, topic)


async def test_what_was_acknowledged_outlives_a_kill(own: Cluster) -> None:
    """A killed broker comes back at its address with its data."""
    own.create_topic("kept")
    await write(own, "kept", b"before")
    own.kill(1)
    with pytest.raises(RuntimeError, match="does not run"):
        own.pause(1)
    own.restart(1)
    await write(own, "kept", b"after")
    assert {r.value for r in await read_topic(own.bootstrap_servers, "kept")} == {b"before", b"after"}


async def test_a_paused_broker_answers_nothing_until_resumed(own: Cluster) -> None:
    """A paused broker times readers out, and serves them once it is resumed."""
    own.create_topic("frozen")
    own.pause(1)
    with pytest.raises(TimeoutError):
        await read_topic(own.bootstrap_servers, "frozen", patience=1.0)
    own.resume(1)
    assert await read_topic(own.bootstrap_servers, "frozen") == []


@pytest.mark.slow
def test_a_broker_that_cannot_start_says_why(kafka_installed: None) -> None:
    """A wrong setting ends the start with the broker's own words, and leaves nothing behind."""
    cluster = Cluster(config={"message.max.bytes": "many"})
    with pytest.raises(RuntimeError, match=r"message\.max\.bytes"):
        cluster.start()


@pytest.mark.slow
async def test_of_three_brokers_one_may_be_lost(kafka_installed: None) -> None:
    """With one of three killed, records are still acknowledged by all in sync, and read."""
    with Cluster(3) as cluster:
        cluster.create_topic("survives")
        cluster.kill(2)
        await write(cluster, "survives", *(f"{n}".encode() for n in range(9)))
        assert len(await read_topic(cluster.bootstrap_servers, "survives")) == 9
