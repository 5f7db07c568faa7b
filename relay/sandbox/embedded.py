"""EmbeddedKafka: a Kafka inside this process, so that nobody has to install one to see the relay work."""

from __future__ import annotations

import asyncio
import ctypes
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer, cimpl

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
            found = self._client.list_topics(timeout=PATIENCE).brokers
        except KafkaException as error:
            raise Failure(f"the embedded Kafka does not start: {error.args[0].str()}") from error
        self._brokers = {f"{broker.host}:{broker.port}": number for number, broker in found.items()}
        self.addresses = tuple(self._brokers)

    @property
    def address(self) -> str:
        """Where clients begin, as `host:port`."""
        return self.addresses[0]

    def create(self, topic: str) -> None:
        """Create a topic unless it is there, with four partitions; blocks. Raises `KafkaUnavailable`."""
        ask_for(self._client, topic)

    def kill(self, address: str) -> None:
        """Take a broker down: who was connected is cut off, and nobody listens there. Its records stay."""
        self._mock("rd_kafka_mock_broker_set_down", address)

    def revive(self, address: str) -> None:
        """Let a broker that was killed listen again, where it did."""
        self._mock("rd_kafka_mock_broker_set_up", address)

    def _mock(self, function: str, address: str) -> None:
        """Call librdkafka, as confluent_kafka shows its mock cluster to nobody.

        The library's handle is the first member of a client, behind the head that every Python object has.
        """
        library = ctypes.CDLL(cimpl.__file__)
        handle = ctypes.c_void_p.from_address(id(self._client) + object.__basicsize__)
        library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
        cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(handle))
        library[function](cluster, ctypes.c_int32(self._brokers[address]))


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
