"""The producer, and the parts of aiokafka that it takes for granted, on real brokers."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import MessageSizeTooLargeError, NotEnoughReplicasError
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer as Librdkafka
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Kafka as Config
from relay.core.model import Record
from relay.kafka import (
    Acknowledged,
    Cluster,
    Identity,
    KafkaUnavailable,
    Kind,
    Refused,
    Topic,
    partition_of,
    record_size,
)
from relay.kafka.metadata import MetadataRequest
from relay.kafka.producer import SEQUENCE_MAX
from relay.kafka.refreshes import PAUSE
from relay.kafka.retries import noted
from tests.kafka.admin import Admin
from tests.kafka.broker import CLUSTER_ID
from tests.kafka.reader import read_topic
from tests.kafka_room.conftest import freeze

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.kafka.cluster import Cluster as Brokers

KILLED_WITHIN = 2.0  # seconds: one, on a machine that has other things to do


def records(topic: str, count: int) -> list[Record]:
    """Give some records."""
    return [Record(topic, b"k", b"%d" % number, (("h", b"v"),)) for number in range(count)]


def reach(brokers: Brokers, **settings: float) -> Cluster:
    """Reach brokers as the relay does."""
    return Cluster(Config((brokers.bootstrap_servers,), **settings))  # type: ignore[arg-type] # by their names


@pytest.fixture
async def cluster(kafka: Brokers) -> AsyncIterator[Cluster]:
    """Give the shared broker as the relay sees it."""
    cluster = reach(kafka)
    yield cluster
    await cluster.close()


async def test_a_producer_asks_for_no_topic_but_its_own(tidy: None, cluster: Cluster, topic: str) -> None:
    """It refreshes what it knows every few seconds, and a cluster may have thousands."""
    await cluster.topic(f"another-{topic}")
    producer = await cluster.open_producer(await cluster.topic(topic))
    await producer._producer.client.force_metadata_update()
    assert producer._producer.client.cluster.topics() == {topic}
    await producer.kill()


async def test_a_batch_is_sent_and_numbered(tidy: None, cluster: Cluster, kafka: Brokers, topic: str) -> None:
    """Batches are acknowledged with their offsets, numbered on, and the identity names the cluster."""
    producer = await cluster.open_producer(await cluster.topic(topic))
    assert producer.identity.cluster.partition("/")[0] == CLUSTER_ID
    assert producer.identity.idempotent
    assert [producer.next_sequence(1), producer.next_sequence(2)] == [0, 0]
    began = time.time()
    assert await producer.send({1: records(topic, 3), 2: records(topic, 1)}) == {1: Acknowledged(0), 2: Acknowledged(0)}
    assert await producer.send({1: records(topic, 2)}) == {1: Acknowledged(3)}
    ended = time.time()
    assert [producer.next_sequence(1), producer.next_sequence(2)] == [5, 1]
    assert producer.partitions == 3
    await producer.kill()
    read = await read_topic(kafka.bootstrap_servers, topic)
    assert [(r.partition, r.offset, r.key, r.value, r.headers) for r in read[:2]] == [
        (1, 0, b"k", b"0", (("h", b"v"),)),
        (1, 1, b"k", b"1", (("h", b"v"),)),
    ]
    assert len(read) == 6
    # Brokers forget producers by the records' time stamps: they are the time of sending.
    assert all(began - 0.001 <= r.timestamp / 1000 <= ended for r in read)


async def test_a_topic_that_is_gone_is_not_asked_for_all_the_time(
    cluster: Cluster, kafka: Brokers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself aiokafka asks where its partitions are as often as brokers answer; ten times a second will do."""
    producer = await cluster.open_producer(await cluster.topic(topic))
    await asyncio.to_thread(Admin(kafka.bootstrap_servers).delete, topic)
    asked: list[float] = []
    send = AIOKafkaConnection.send

    def noting(connection: AIOKafkaConnection, request: object, **options: bool) -> object:
        if isinstance(request, MetadataRequest):
            asked.append(time.monotonic())
        return send(connection, request, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", noting)
    outcome = await producer.send({0: records(topic, 1)}, lambda waited, _: waited > 1)
    assert isinstance(outcome[0], Refused)
    assert len(asked) > 3, "nothing was asked for: nothing is proved"
    assert all(later - earlier > PAUSE / 2 for earlier, later in itertools.pairwise(asked))
    await producer.kill()


async def test_a_batch_is_recognised_under_its_numbers(cluster: Cluster, kafka: Brokers, topic: str) -> None:
    """The same batch under its identity and base sequence is acknowledged where it stands, and not written again."""
    found = await cluster.topic(topic)
    first = await cluster.open_producer(found)
    for _ in range(3):
        await first.send({0: records(topic, 4)})
    await first.kill()
    again = await cluster.open_producer(found, first.identity)
    assert again.identity == first.identity
    again.rewind(0, 4)
    assert await again.send({0: records(topic, 4)}) == {0: Acknowledged(4)}
    again.rewind(0, 12)
    assert await again.send({0: records(topic, 1)}) == {0: Acknowledged(12)}
    await again.kill()
    assert len(await read_topic(kafka.bootstrap_servers, topic)) == 13


async def test_a_batch_that_is_not_the_next_is_forgotten(cluster: Cluster, kafka: Brokers, topic: str) -> None:
    """A broker that knows the id but not the batch says so, and writes nothing."""
    found = await cluster.topic(topic)
    first = await cluster.open_producer(found)
    await first.send({0: records(topic, 4)})
    await first.kill()
    again = await cluster.open_producer(found, first.identity)
    again.rewind(0, 700)
    outcome = (await again.send({0: records(topic, 1)}))[0]
    assert isinstance(outcome, Refused)
    assert outcome.kind is Kind.FORGOTTEN
    await again.kill()
    assert len(await read_topic(kafka.bootstrap_servers, topic)) == 4


async def test_without_idempotence_batches_have_no_numbers(kafka: Brokers, topic: str) -> None:
    """A producer without idempotence has no identity that a broker could recognise, and sends all the same."""
    cluster = reach(kafka, idempotence=False)
    producer = await cluster.open_producer(await cluster.topic(topic))
    assert producer.identity == Identity(producer.identity.cluster, -1, -1)
    producer.rewind(0, 5)
    assert [producer.next_sequence(0), producer.worn] == [0, False]
    assert await producer.send({0: records(topic, 2)}) == {0: Acknowledged(0)}
    await producer.kill()
    await cluster.close()


async def test_worn_numbers_are_told(cluster: Cluster, topic: str) -> None:
    """Before aiokafka would wrap sequence numbers wrongly, the producer says that it is worn."""
    producer = await cluster.open_producer(await cluster.topic(topic))
    producer.rewind(0, SEQUENCE_MAX)
    assert not producer.worn
    producer.rewind(0, SEQUENCE_MAX + 1)
    assert producer.worn
    await producer.kill()


async def test_a_batch_over_the_topics_limit_is_refused_for_its_content(
    tidy: None, cluster: Cluster, kafka: Brokers, topic: str
) -> None:
    """MESSAGE_TOO_LARGE is of the content, and does not touch the other partitions' batches."""
    await asyncio.to_thread(kafka.create_topic, topic, 3, {"max.message.bytes": "2000"})
    producer = await cluster.open_producer(Topic(topic, 3, 900_000))
    outcomes = await producer.send({0: records(topic, 1), 1: records(topic, 500)})
    await producer.kill()
    assert outcomes == {0: Acknowledged(0), 1: Refused(Kind.CONTENT, "MESSAGE_SIZE_TOO_LARGE")}


async def test_an_older_larger_batch_is_handed_over_whatever_the_limit_is_today(
    tidy: None, cluster: Cluster, kafka: Brokers, topic: str
) -> None:
    """Whether a batch is too large is for the broker to say, which may have it: the producer has room for any."""
    await asyncio.to_thread(kafka.create_topic, topic, 1, {"max.message.bytes": "8000000"})
    large = [Record(topic, b"k", bytes(2_500_000), ())] * 2
    first = await cluster.open_producer(await cluster.topic(topic))
    assert await first.send({0: large}) == {0: Acknowledged(0)}
    await first.kill()
    again = await cluster.open_producer(Topic(topic, 1, 900), first.identity)
    again.rewind(0, 0)
    assert await again.send({0: large}) == {0: Acknowledged(0)}
    await again.kill()


async def test_a_partition_that_is_not_there_is_curable(tidy: None, cluster: Cluster, topic: str) -> None:
    """A batch for a partition that is gone is refused and not thrown at the lane; nobody is dead for it."""
    producer = await cluster.open_producer(await cluster.topic(topic))
    outcome = (await producer.send({7: records(topic, 1)}))[7]
    await producer.kill()
    assert isinstance(outcome, Refused)
    assert outcome.kind is Kind.CURABLE


async def test_a_frozen_broker_costs_the_deadline_and_a_second(tidy: None, frozen: Brokers, topic: str) -> None:
    """A batch without an answer is curable after `delivery_timeout`; the kill is bounded, quiet and complete.

    What was sent meanwhile is recognised afterwards, so the batch is in Kafka once.
    """
    cluster = reach(frozen, delivery_timeout=1.0)
    found = await cluster.topic(topic)
    producer = await cluster.open_producer(found)
    assert await producer.send({0: records(topic, 1)}) == {0: Acknowledged(0)}
    base = producer.next_sequence(0)
    freeze(frozen)
    began = time.monotonic()
    outcome = (await producer.send({0: records(topic, 5)}))[0]
    assert 1.0 <= time.monotonic() - began < 2.0
    assert isinstance(outcome, Refused)
    assert outcome.kind is Kind.CURABLE
    assert "no answer within 1 s" in outcome.error
    began = time.monotonic()
    await producer.kill()
    assert time.monotonic() - began < KILLED_WITHIN
    frozen.resume(1)
    again = await cluster.open_producer(found, producer.identity)
    again.rewind(0, base)
    assert await again.send({0: records(topic, 5)}) == {0: Acknowledged(1)}
    await again.kill()
    await cluster.close()
    assert len(await read_topic(frozen.bootstrap_servers, topic)) == 6


async def test_a_frozen_broker_opens_no_producer(tidy: None, frozen: Brokers, topic: str) -> None:
    """Opening is bounded by `request_timeout` and the kill, and leaves nothing open."""
    cluster = reach(frozen, request_timeout=0.5)
    found = await cluster.topic(topic)
    freeze(frozen)
    began = time.monotonic()
    with pytest.raises(KafkaUnavailable):
        await cluster.open_producer(found)
    assert time.monotonic() - began < 0.5 + KILLED_WITHIN
    frozen.resume(1)
    await cluster.close()


async def test_an_open_that_is_cancelled_leaves_nothing(tidy: None, frozen: Brokers, topic: str) -> None:
    """A lane that ends while its producer opens leaves neither a connection nor a task."""
    cluster = reach(frozen)
    found = await cluster.topic(topic)
    freeze(frozen)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cluster.open_producer(found), 0.2)
    frozen.resume(1)
    await cluster.close()


async def test_a_lane_that_ends_amid_a_send_kills_in_time(tidy: None, frozen: Brokers, topic: str) -> None:
    """Also a send that is cancelled leaves a producer that can be killed in bounded time."""
    cluster = reach(frozen)
    producer = await cluster.open_producer(await cluster.topic(topic))
    freeze(frozen)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(producer.send({0: records(topic, 5), 1: records(topic, 1)}), 0.2)
    began = time.monotonic()
    await producer.kill()
    assert time.monotonic() - began < KILLED_WITHIN
    frozen.resume(1)
    await cluster.close()


async def test_aiokafka_has_the_private_attributes() -> None:
    """What the producer reaches into is there, and means what it meant; else only "at least once" could be promised."""
    producer = AIOKafkaProducer(enable_idempotence=True)
    manager = producer._txn_manager
    assert isinstance(manager, TransactionManager)
    assert manager._pid_and_epoch == PidAndEpoch(-1, -1)
    manager._pid_and_epoch = PidAndEpoch(7, 3)
    assert (manager.producer_id, manager.producer_epoch) == (7, 3)
    manager._sequence_numbers["tp"] = 5
    assert (manager.sequence_number("tp"), manager.sequence_number("other")) == (5, 0)
    assert manager._sequence_numbers["tp"] == 5
    assert callable(producer.client._metadata_update)
    assert producer._sender.sender_task is None
    assert producer._closed is False
    producer._closed = True  # as a kill does, or its end would warn
    assert producer.client.cluster.leader_for_partition(TopicPartition("t", 0)) is None
    retried = noted(producer)
    handler = sender.SendProduceReqHandler(producer._sender, {})
    batch = MessageBatch(TopicPartition("t", 0), producer.create_batch(), ttl=60, linger_time=0)
    for error, again in ((NotEnoughReplicasError(), True), (MessageSizeTooLargeError(), False)):
        assert handler._can_retry(error, batch) is again
    assert {at: type(error) for at, error in retried.items()} == {TopicPartition("t", 0): NotEnoughReplicasError}
    for way_to_try_again in (handler.do, handler.handle_response):
        assert "_can_retry" in way_to_try_again.__code__.co_names


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_javas(key: bytes, hashed: int) -> None:
    """A key's partition is that of Java's default partitioner, by the values of Kafka's own tests."""
    assert [partition_of(key, count) for count in (1, 3, 1000)] == [(hashed & 0x7FFFFFFF) % c for c in (1, 3, 1000)]


async def test_partitions_are_those_of_another_producer(kafka: Brokers, topic: str) -> None:
    """Records that librdkafka puts by Java's rule stand where the relay would have put them."""
    await asyncio.to_thread(kafka.create_topic, topic, 7)
    other = Librdkafka({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2", "log_level": 0})
    for number in range(200):
        other.produce(topic, key=f"contoso/MicrosoftTeams/Projekt äöü {number}", value=b"")
    assert await asyncio.to_thread(other.flush, 20) == 0
    read = await read_topic(kafka.bootstrap_servers, topic)
    assert len(read) == 200
    assert [record.partition for record in read] == [partition_of(record.key or b"", 7) for record in read]


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 3)), min_size=1, max_size=20)
)
def test_a_record_is_never_larger_than_its_size(rows: list[tuple[bytes, bytes, int]]) -> None:
    """A batch takes at most the sum of what `record_size` says of its records, whatever is in them."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    sizes = 0
    for place, (key, value, headers) in enumerate(rows):
        record = Record("t", key, value, tuple((f"ce_{n}ä", value) for n in range(headers)))
        batch.append(place, None, record.key, record.value, list(record.headers))
        sizes += record_size(record)
    assert len(batch.build()) <= sizes
