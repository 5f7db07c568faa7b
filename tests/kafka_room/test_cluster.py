"""Questions about topics, on a real broker: found, created, measured, or said to be missing; never without end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from relay.config.model import Kafka as Config
from relay.config.model import Topics
from relay.core.model import Record
from relay.kafka import Cluster, KafkaUnavailable, Refused, Topic, TopicMissing
from relay.kafka.history import History
from relay.sandbox.embedded import EmbeddedKafka
from tests.kafka.admin import Admin
from tests.kafka.cluster import Cluster as Brokers
from tests.kafka.reader import read_topic
from tests.kafka_room.conftest import freeze

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def cluster(kafka: Brokers) -> AsyncIterator[Cluster]:
    """Give the shared broker by the default configuration, which creates topics."""
    cluster = Cluster(Config((kafka.bootstrap_servers,)))
    yield cluster
    await cluster.close()


async def test_a_missing_topic_is_created_with_the_brokers_replication(
    tidy: None, cluster: Cluster, kafka: Brokers, topic: str
) -> None:
    """A replication factor of -1 is the broker's own; the topic is there, and can be read, when it is given."""
    assert await cluster.topic(topic) == Topic(topic, 3, 1_048_588 * 9 // 10)
    assert await read_topic(kafka.bootstrap_servers, topic) == []
    await cluster.close()


@pytest.mark.parametrize(("partitions", "factor"), [(2, 1), (2, -1), (-1, 1), (-1, -1)])
async def test_a_topic_is_created_by_any_numbers(kafka: Brokers, topic: str, partitions: int, factor: int) -> None:
    """Partitions and replication factor may each be given or left to the broker."""
    cluster = Cluster(
        Config((kafka.bootstrap_servers,), topics=Topics(partitions=partitions, replication_factor=factor))
    )
    assert (await cluster.topic(topic)).partitions == (partitions if partitions > 0 else 3)
    await cluster.close()


async def test_a_topic_asked_for_twice_at_once_is_created_once(cluster: Cluster, kafka: Brokers, topic: str) -> None:
    """Two relays, or two questions, that create the same topic both find it."""
    other = Cluster(Config((kafka.bootstrap_servers,)))
    first, *rest = await asyncio.gather(cluster.topic(topic), cluster.topic(topic), other.topic(topic))
    assert rest == [first, first]
    await other.close()


async def test_a_topic_is_not_created_unless_configured(kafka: Brokers, topic: str) -> None:
    """With `kafka.topics.create` off a missing topic is said to be missing, and stays so."""
    cluster = Cluster(Config((kafka.bootstrap_servers,), topics=Topics(create=False)))
    for _ in range(2):
        with pytest.raises(TopicMissing, match=rf"topic {topic} does not exist; create it, or set kafka.topics.create"):
            await cluster.topic(topic)
    with pytest.raises(UnknownTopicOrPartitionError):
        await read_topic(kafka.bootstrap_servers, topic)
    await asyncio.to_thread(kafka.create_topic, topic, 5)
    assert (await cluster.topic(topic)).partitions == 5
    await cluster.close()


async def test_a_topic_that_cannot_be_created_is_missing(cluster: Cluster) -> None:
    """A name that Kafka does not take is told in the broker's words."""
    with pytest.raises(TopicMissing, match="could not be created"):
        await cluster.topic("not/legal")


async def test_without_a_controller_a_topic_is_missing(topic: str) -> None:
    """A cluster in its election, or the demo's embedded one, has none: that is told, and asked for again."""
    kafka = EmbeddedKafka()
    cluster = Cluster(Config((kafka.address,)))
    with pytest.raises(TopicMissing, match=f"topic {topic} does not exist, and no broker is the controller"):
        await cluster.topic(topic)
    await cluster.close()


async def test_the_largest_batch_is_asked_for(cluster: Cluster, kafka: Brokers, topic: str) -> None:
    """A topic's own max.message.bytes counts, less a tenth."""
    await asyncio.to_thread(kafka.create_topic, topic, 2, {"max.message.bytes": "5000"})
    assert await cluster.topic(topic) == Topic(topic, 2, 4500)


async def test_a_frozen_broker_is_unavailable_and_then_found_again(tidy: None, frozen: Brokers, topic: str) -> None:
    """A question is bounded in time; when the broker is back the same cluster answers."""
    cluster = Cluster(Config((frozen.bootstrap_servers,), request_timeout=0.5))
    async with asyncio.timeout(20):
        while await _found(cluster, topic) is None:
            pass  # a busy broker may need more than one question's patience, as below
    freeze(frozen)
    began = time.monotonic()
    with pytest.raises(KafkaUnavailable):
        await cluster.topic(topic)
    assert time.monotonic() - began < 3
    frozen.resume(1)
    async with asyncio.timeout(20):
        while (found := await _found(cluster, topic)) is None:
            pass
    assert found.partitions == 3
    await cluster.close()


async def test_who_gives_up_in_mid_connection_leaves_none(tidy: None, frozen: Brokers) -> None:
    """What was begun to read back is closed when whoever asked is cancelled, as a relay that stops is."""
    freeze(frozen)
    history = History(Config((frozen.bootstrap_servers,)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await history.__aenter__()
    assert history._consumer._closed
    assert not history._admin._client._conns


async def _found(cluster: Cluster, topic: str) -> Topic | None:
    try:
        return await cluster.topic(topic)
    except KafkaUnavailable:
        return None


async def test_a_question_that_fails_disturbs_no_other(
    cluster: Cluster, kafka: Brokers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection serves all questions: what becomes of one of them is no matter to another that is under way."""
    await cluster.topic(topic)
    asked, released = asyncio.Event(), asyncio.Event()
    describe = AIOKafkaAdminClient.describe_configs

    async def slowly(admin: AIOKafkaAdminClient, resources: list[object]) -> object:
        asked.set()
        await released.wait()
        return await describe(admin, resources)

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", slowly)
    under_way = asyncio.ensure_future(cluster.topic(topic))
    await asked.wait()

    async def fail(*_: object) -> object:
        raise KafkaConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(AIOKafkaAdminClient, "_send_request", fail)
        with pytest.raises(KafkaUnavailable):
            await cluster.topic(topic)
    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", describe)
    await asyncio.to_thread(Admin(kafka.bootstrap_servers).set, topic, "max.message.bytes", "5000")
    again = await cluster.topic(topic)  # by a connection of its own
    released.set()
    assert await under_way == again == Topic(topic, 3, 4500)


async def test_nobody_there_is_unavailable(tidy: None) -> None:
    """An address where nothing listens is unavailable at once, and leaves nothing open."""
    cluster = Cluster(Config(("127.0.0.1:1",)))
    with pytest.raises(KafkaUnavailable):
        await cluster.topic("any")
    await cluster.close()


async def test_a_topic_that_was_deleted_is_made_by_nobody_who_only_asks(kafka_installed: None, topic: str) -> None:
    """Brokers that make what is asked for are not asked to: a producer that looks for its topic brings it not back."""
    with Brokers(config={"auto.create.topics.enable": "true"}) as brokers:
        admin = Admin(brokers.bootstrap_servers)
        cluster = Cluster(Config((brokers.bootstrap_servers,), topics=Topics(create=False), delivery_timeout=2.0))
        await asyncio.to_thread(admin.create, topic, [[1]])
        producer = await cluster.open_producer(await cluster.topic(topic))
        await asyncio.to_thread(admin.delete, topic)
        await producer._producer.client.force_metadata_update()
        outcomes = await producer.send({0: [Record(topic, b"k", b"v", ())]})
        assert isinstance(outcomes[0], Refused)
        with pytest.raises(TopicMissing):
            await cluster.topic(topic)
        await producer.kill()
        await cluster.close()
