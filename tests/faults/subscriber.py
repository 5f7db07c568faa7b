"""Subscriber: reads all topics all along, as any consumer with Java's default isolation does (read_uncommitted)."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GIVEN_UP = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.OFFSET_OUT_OF_RANGE,
)
LATELY = 1_700_000_000_000  # milliseconds: after every event's own time, and before every time of sending
LOOK = 1.0  # seconds between two looks for new partitions


class Read(NamedTuple):
    """One record as it was read. `life` counts how often the topic had been made anew before."""

    topic: str
    life: int
    partition: int
    offset: int
    key: str
    event_id: str
    content: Mapping[str, str]


class Subscriber:
    """Reads from the first offset of each partition on, into `reads`, until closed; partitions may be added.

    It outlives brokers that go away. A topic that is deleted is `forgotten` before, and `followed` again.
    """

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        """Follow topics that exist."""
        self._servers = bootstrap_servers
        self._consumer = self._new_consumer()
        self._lives: dict[str, int] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._looked_at = 0.0
        self.reads: list[Read] = []
        self.found: dict[str, set[str]] = {}  # topic -> ids
        self.faults: list[str] = []
        for topic in topics:
            self.follow(topic)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def follow(self, topic: str) -> None:
        """Read a topic that has just been made, from its beginning."""
        with self._lock:
            self._lives[topic] = self._lives.get(topic, -1) + 1
            if self._lives[topic]:
                self._begin_anew()
            self.found[topic] = set()
            self._looked_at = 0.0

    def forget(self, topic: str) -> set[str]:
        """Read a topic no more, since it is about to go; give the ids that were found in it."""
        with self._lock:
            gone = [place for place in self._positions if place[0] == topic]
            if gone:
                self._consumer.incremental_unassign([TopicPartition(*place) for place in gone])
            for place in gone:
                del self._positions[place]
            return self.found.pop(topic)

    def read_up(self, patience: float = 30.0) -> None:
        """Return when all that is in the topics now has been read. Raises `TimeoutError`."""
        deadline = time.monotonic() + patience
        with self._lock:
            self._look()
            ends = {place: self._consumer.get_watermark_offsets(TopicPartition(*place))[1] for place in self._positions}
        while any(self._positions[place] < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError("the subscriber did not reach the end of the topics")
            time.sleep(0.02)

    @property
    def state(self) -> str:
        """Tell how far it has read, and how far there is to read."""
        with self._lock:
            try:
                ends = {p: self._consumer.get_watermark_offsets(TopicPartition(*p), timeout=3) for p in self._positions}
            except KafkaException as error:
                return str(error)
        return str({p: (self._positions[p], ends[p]) for p in ends})

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._consumer.close()

    def _new_consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": "subscriber",
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "log_level": 0,
                "topic.metadata.refresh.interval.ms": 500,
                "reconnect.backoff.max.ms": 500,
                "fetch.wait.max.ms": 100,
            }
        )

    def _begin_anew(self) -> None:
        """Go on with a client that knows no topic yet.

        One that has seen partitions led anew holds those of a topic of the same name, made since, for older, and goes
        on to ask brokers that do not lead them.
        """
        self._consumer.close()
        self._consumer = self._new_consumer()
        self._consumer.incremental_assign([TopicPartition(*place, at) for place, at in self._positions.items()])

    def _run(self) -> None:
        while not self._over.is_set():
            with self._lock:
                if time.monotonic() - self._looked_at > LOOK:
                    self._look()
                messages = self._consumer.consume(500, 0.05)
                for message in messages:
                    error, topic, partition = message.error(), message.topic(), message.partition()
                    if error is None:
                        self._take(message)
                    elif topic is not None and partition is not None:
                        self._hear(topic, partition, error)
            time.sleep(0.005)  # so that others get the lock

    def _hear(self, topic: str, partition: int, error: KafkaError) -> None:
        """Take a partition up again that the client gave up, as brokers do not all know a new one at once."""
        if error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
            self.faults.append(f"{topic} {partition}: {error}")
        if (topic, partition) in self._positions and error.code() in GIVEN_UP:
            self._consumer.incremental_unassign([TopicPartition(topic, partition)])
            self._consumer.incremental_assign([TopicPartition(topic, partition, self._positions[topic, partition])])

    def _look(self) -> None:
        """Follow partitions that are new."""
        try:
            topics = self._consumer.list_topics(timeout=1.0).topics
        except KafkaException:
            return
        self._looked_at = time.monotonic()
        shown = [(topic, number) for topic in self.found if topic in topics for number in topics[topic].partitions]
        if new := [place for place in shown if place not in self._positions]:
            self._consumer.incremental_assign([TopicPartition(*place, 0) for place in new])
            self._positions |= dict.fromkeys(new, 0)

    def _take(self, message: object) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()  # type: ignore[attr-defined] # librdkafka has no types
        envelope = json.loads(message.value())  # type: ignore[attr-defined] # likewise
        key = message.key().decode()  # type: ignore[attr-defined] # likewise
        self._positions[topic, partition] = offset + 1
        _, sent_at = message.timestamp()  # type: ignore[attr-defined] # likewise
        if sent_at < LATELY:
            self.faults.append(f"{topic} {partition}/{offset} bears {sent_at}: by that brokers forget who sent it")
        self.found[topic].add(envelope["id"])
        self.reads.append(Read(topic, self._lives[topic], partition, offset, key, envelope["id"], envelope["data"]))
