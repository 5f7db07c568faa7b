"""Subscriber: reads records as anybody who subscribes to a topic reads them."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from relay.sandbox.failure import Failure

if TYPE_CHECKING:
    from typing import Self

    from confluent_kafka import Message

    from relay.core.model import Placed

CLUSTER_PATIENCE = 3.0  # seconds until a cluster that does not answer is given up
CLUSTER_STEP = 1.0
RECORD_PATIENCE = 10.0
RECORD_STEP = 0.2


@dataclass(frozen=True, slots=True)
class Read:
    """A record as it stands in Kafka: where, its key, its value, and its headers in their order."""

    placed: Placed
    key: bytes
    value: bytes = field(repr=False)
    headers: tuple[tuple[str, bytes], ...]


class Subscriber:
    """A consumer of another make than the relay's producer (librdkafka), in no group: it commits nothing.

    Its questions block, so they are for threads. Leaving its `with` ends those under way within a second.
    """

    def __init__(self, bootstrap: str) -> None:
        """Read from the cluster at `bootstrap`; nothing is connected before the first question."""
        self.bootstrap = bootstrap
        self._left = threading.Event()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more."""
        self._left.set()

    def find_cluster(self) -> None:
        """Wait until the cluster answers; raises `Failure` when it does not in `CLUSTER_PATIENCE` seconds."""
        deadline = time.monotonic() + CLUSTER_PATIENCE
        with closing(self._consumer()) as consumer:
            while time.monotonic() < deadline and not self._left.is_set():
                try:
                    consumer.list_topics(timeout=CLUSTER_STEP)
                except KafkaException:
                    continue
                return
        raise Failure(f"no Kafka answers at {self.bootstrap}")

    def read(self, placed: Placed) -> Read:
        """Read the one record at a place; raises `Failure` when it is not there within `RECORD_PATIENCE` seconds."""
        if placed.offset is None:
            raise Failure(f"the receipt names no offset in {placed.topic}")
        deadline = time.monotonic() + RECORD_PATIENCE
        # A consumer for each record: one that is sent to another topic takes a second to look for it.
        with closing(self._consumer()) as consumer:
            consumer.assign([TopicPartition(placed.topic, placed.partition, placed.offset)])
            while time.monotonic() < deadline and not self._left.is_set():
                message = consumer.poll(RECORD_STEP)
                if message and not message.error() and message.offset() == placed.offset:
                    return _read(placed, message)
        raise Failure(f"no record could be read from {placed.topic}, partition {placed.partition}, at {placed.offset}")

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                # librdkafka wants the name of a group also from who assigns partitions itself and joins none.
                "group.id": "relay-sandbox",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )


def _read(placed: Placed, message: Message) -> Read:
    headers = message.headers() or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    # confluent-kafka's types are those of what it takes; what it gives are pairs with bytes.
    told = tuple((name, value) for name, value in pairs if isinstance(value, bytes))
    return Read(placed, message.key() or b"", message.value() or b"", told)
