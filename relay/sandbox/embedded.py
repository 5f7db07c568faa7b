"""EmbeddedKafka: a Kafka inside this process, so that nobody has to install one to see the relay work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from relay.kafka import Cluster, KafkaUnavailable
from relay.sandbox.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.config import Kafka
    from relay.kafka import Topic

PATIENCE = 5.0  # seconds; it answers in milliseconds


def ask_for(client: Producer, topic: str) -> None:
    """Create a topic of an embedded Kafka unless it is there; blocks. Raises `KafkaUnavailable`."""
    try:
        client.list_topics(topic, timeout=PATIENCE)
    except KafkaException as error:
        raise KafkaUnavailable(error.args[0].str()) from error


class EmbeddedKafka:
    """librdkafka's mock cluster: brokers on loopback, all in memory, gone with this object.

    It speaks the real protocol, idempotence included, to any client. Two things differ: the time of
    every record is 1234, and topics cannot be created by an admin client, only by asking for them.
    """

    def __init__(self, brokers: int = 1) -> None:
        """Start it, on free ports; blocks for some milliseconds. Raises `Failure` when it does not start."""
        self._client = Producer({"test.mock.num.brokers": brokers, "log_level": 0})
        try:
            found = self._client.list_topics(timeout=PATIENCE).brokers.values()
        except KafkaException as error:
            raise Failure(f"the embedded Kafka does not start: {error.args[0].str()}") from error
        self.addresses = tuple(f"{broker.host}:{broker.port}" for broker in found)

    @property
    def address(self) -> str:
        """Where clients begin, as `host:port`."""
        return self.addresses[0]

    def create(self, topic: str) -> None:
        """Create a topic unless it is there, with four partitions; blocks. Raises `KafkaUnavailable`."""
        ask_for(self._client, topic)


class EmbeddedCluster(Cluster):
    """The embedded Kafka as the lanes see it: like any other, but a missing topic is created by asking for it."""

    def __init__(self, config: Kafka, create: Callable[[str], None]) -> None:
        """Prepare; `config` has the address of the one whose topics are made by `create`, which blocks."""
        super().__init__(config)
        self._create_topic = create

    async def topic(self, name: str) -> Topic:
        """Find a topic, creating it when it is missing. Raises `KafkaUnavailable`."""
        await asyncio.to_thread(self._create_topic, name)
        return await super().topic(name)
