"""EmbeddedKafka: a Kafka inside this process, so that nobody has to install one to see the relay work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from relay.kafka import Cluster, KafkaUnavailable
from relay.sandbox.failure import Failure

if TYPE_CHECKING:
    from relay.config import Kafka
    from relay.kafka import Topic

PATIENCE = 5.0  # seconds; it answers in milliseconds


class EmbeddedKafka:
    """librdkafka's mock cluster: one broker on loopback, all in memory, gone with this object.

    It speaks the real protocol, idempotence included, to any client. Two things differ: the time of
    every record is 1234, and topics cannot be created by an admin client, only by asking for them.
    """

    def __init__(self) -> None:
        """Start it, on a free port; blocks for some milliseconds. Raises `Failure` when it does not start."""
        self._client = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        try:
            (broker,) = self._client.list_topics(timeout=PATIENCE).brokers.values()
        except KafkaException as error:
            raise Failure(f"the embedded Kafka does not start: {error.args[0].str()}") from error
        self.address = f"{broker.host}:{broker.port}"

    def create(self, topic: str) -> None:
        """Create a topic unless it is there, with four partitions; blocks. Raises `KafkaUnavailable`."""
        try:
            self._client.list_topics(topic, timeout=PATIENCE)
        except KafkaException as error:
            raise KafkaUnavailable(error.args[0].str()) from error


class EmbeddedCluster(Cluster):
    """The embedded Kafka as the lanes see it: like any other, but a missing topic is created by asking for it."""

    def __init__(self, config: Kafka, embedded: EmbeddedKafka) -> None:
        """Prepare; `config` has the address of `embedded`."""
        super().__init__(config)
        self._embedded = embedded

    async def topic(self, name: str) -> Topic:
        """Find a topic, creating it when it is missing. Raises `KafkaUnavailable`."""
        await asyncio.to_thread(self._embedded.create, name)
        return await super().topic(name)
