"""An in-memory Kafka for lanes: what a broker remembers of idempotent producers, and failures on demand.

It keeps the rules of a broker's log (KIP-98) as far as lanes can see them, and passes the suite that real
Kafka passes. What fails is said beforehand: `faults` are met by the next batches, one each.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from relay.kafka import Acknowledged, Identity, KafkaUnavailable, Kind, Refused, Topic, TopicMissing, record_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.core.model import Record
    from relay.kafka import Hurried, Outcome

REMEMBERED = 5  # batches of each producer id, per partition


class Fault(NamedTuple):
    """What the next batch meets: whether it is written, and the refusal, or no answer when that is None."""

    written: bool
    refusal: Refused | None


def refuse(kind: Kind = Kind.CURABLE, error: str = "NOT_ENOUGH_REPLICAS") -> Fault:
    """Refuse the batch."""
    return Fault(written=False, refusal=Refused(kind, error))


LOSE_ANSWER = Fault(written=True, refusal=None)
HANG = Fault(written=False, refusal=None)


@dataclass(slots=True)
class Memory:
    """What a partition remembers of one producer id: its epoch, and its last batches as (first, last, offset)."""

    epoch: int
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@dataclass(slots=True)
class Partition:
    """One partition's log, with the producer id of each record, and what it remembers of producers."""

    log: list[tuple[int, Record]] = field(default_factory=list)
    producers: dict[int, Memory] = field(default_factory=dict)

    def take(self, identity: Identity, base: int, records: Sequence[Record]) -> Outcome:
        """Append a batch, unless its numbers say that it is here already, or not the next."""
        if not identity.idempotent:
            return Acknowledged(self._append(identity, records))
        memory = self.producers.get(identity.producer_id)
        last = base + len(records) - 1
        if memory:
            if identity.producer_epoch < memory.epoch:
                return Refused(Kind.FORGOTTEN, "INVALID_PRODUCER_EPOCH")
            for known_first, known_last, offset in memory.batches:
                if (known_first, known_last, memory.epoch) == (base, last, identity.producer_epoch):
                    return Acknowledged(offset)
            expected = memory.batches[-1][1] + 1 if identity.producer_epoch == memory.epoch else 0
            if base != expected:
                return Refused(Kind.FORGOTTEN, "OUT_OF_ORDER_SEQUENCE_NUMBER")
        if memory is None or memory.epoch != identity.producer_epoch:
            memory = self.producers[identity.producer_id] = Memory(identity.producer_epoch)
        offset = self._append(identity, records)
        memory.batches.append((base, last, offset))
        return Acknowledged(offset)

    def _append(self, identity: Identity, records: Sequence[Record]) -> int:
        offset = len(self.log)
        self.log += [(identity.producer_id, record) for record in records]
        return offset


@dataclass(slots=True)
class FakeTopic:
    """A topic: its id, its partitions, and the largest batch it takes, in bytes."""

    id: int
    partitions: list[Partition]
    limit: int

    def take(self, partition: int, identity: Identity, base: int, records: Sequence[Record]) -> Outcome:
        """Append a batch; its size is looked at before its numbers, as brokers do."""
        if sum(record_size(record) for record in records) > self.limit:
            return Refused(Kind.CONTENT, "MESSAGE_TOO_LARGE")
        if partition >= len(self.partitions):
            return Refused(Kind.CURABLE, "UNKNOWN_TOPIC_OR_PARTITION")
        return self.partitions[partition].take(identity, base, records)


class FakeKafka:
    """A cluster whose topics are made by `create_topic`; see `relay.lane.ports.Kafka`.

    `faults` are met by the next batches in turn. `open_failures` is how many producers will not open.
    `delivery_timeout` is how long a batch without an answer is waited for. `hung` is set while one is.
    Of topics that are `silent` no batch is written or answered; those sent meanwhile are when the topic no longer is.
    `why` is what is told of batches without an answer.
    `readable` is whether the relay may read topics back. `open_now` and `open_most` count producers, `opened`
    names them. `watch` sees each send before it is done.
    """

    def __init__(self, *, cluster: str = "fake", delivery_timeout: float = 60.0) -> None:
        """Start without topics."""
        self.cluster = cluster
        self.topics: dict[str, FakeTopic] = {}
        self.faults: deque[Fault] = deque()
        self.open_failures = 0
        self.hung = asyncio.Event()
        self.readable = True
        self.silent: set[str] = set()
        self.why = ""
        self.open_now = self.open_most = 0
        self.opened: list[tuple[str, Identity]] = []
        self.delivery_timeout = delivery_timeout
        self.watch: Callable[[FakeProducer, Mapping[int, Sequence[Record]]], None] = lambda _producer, _batches: None
        self._last_id = 4000
        self._topic_ids = itertools.count()

    def create_topic(self, name: str, partitions: int = 3, limit: int = 1_048_588) -> None:
        """Create a topic."""
        self.topics[name] = FakeTopic(next(self._topic_ids), [Partition() for _ in range(partitions)], limit)

    async def topic(self, name: str) -> Topic:
        """Find a topic."""
        if name not in self.topics:
            raise TopicMissing(f"topic {name} does not exist")
        found = self.topics[name]
        return Topic(name, len(found.partitions), found.limit * 9 // 10)

    async def open_producer(self, topic: Topic, identity: Identity | None = None) -> FakeProducer:
        """Open a producer, with an id of the past or one that was never given."""
        if self.open_failures:
            self.open_failures -= 1
            raise KafkaUnavailable("no broker answers")
        self._last_id += 1
        given = Identity(
            f"{self.cluster}/{self.topics[topic.name].id}",
            *((identity.producer_id, identity.producer_epoch) if identity else (self._last_id, 0)),
        )
        self.opened.append((topic.name, given))
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        return FakeProducer(self, topic.name, given)

    async def find(self, topic: str, partition: int, records: Sequence[Record], since: float) -> int | None:  # noqa: ARG002 - no record of the fake has a time
        """Look for a batch, as far as that is allowed."""
        if not self.readable:
            raise KafkaUnavailable("TOPIC_AUTHORIZATION_FAILED")
        log = [record for _, record in self.topics[topic].partitions[partition].log]
        return log.index(records[0]) if records[0] in log else None


class FakeProducer:
    """A numbered way into one topic; see `relay.lane.ports.Producer`."""

    worn = False

    def __init__(self, kafka: FakeKafka, topic: str, identity: Identity) -> None:
        """Be open."""
        self._kafka = kafka
        self._topic = topic
        self._sequences: dict[int, int] = {}
        self._open = True
        self.identity = identity

    @property
    def partitions(self) -> int:
        """The topic's partition count."""
        return len(self._kafka.topics[self._topic].partitions)

    def next_sequence(self, partition: int) -> int:
        """Give the base sequence of the next batch."""
        return self._sequences.get(partition, 0)

    def rewind(self, partition: int, base_sequence: int) -> None:
        """Let the next batch start with a sequence of the past."""
        self._sequences[partition] = base_sequence

    async def send(self, batches: Mapping[int, Sequence[Record]], hurried: Hurried) -> dict[int, Outcome]:
        """Hand each batch over; a fault may meet it."""
        assert self._open, "sent by a producer that was killed"
        self._kafka.watch(self, batches)
        outcomes: dict[int, Outcome] = {}
        silent: dict[int, int] = {}
        after: dict[int, int] = {}
        still = self._topic in self._kafka.silent
        for partition, records in batches.items():
            assert records, "an empty batch"
            fault = self._kafka.faults.popleft() if self._kafka.faults else None
            fault = HANG if still else fault
            base = self.next_sequence(partition)
            after[partition] = base + len(records)
            if fault is None or fault.written:
                outcomes[partition] = self._kafka.topics[self._topic].take(partition, self.identity, base, records)
            if fault and fault.refusal:
                outcomes[partition] = fault.refusal
            elif fault:
                silent[partition] = base
        for _ in range(50):  # aiokafka counts what it has put on its way, which is later than what it was handed
            await asyncio.sleep(0)
        self._sequences |= after
        if silent:
            self._kafka.hung.set()
            began = time.monotonic()
            while (waited := time.monotonic() - began) < self._kafka.delivery_timeout:
                if hurried(waited, self._kafka.why):
                    break
                if still and self._topic not in self._kafka.silent:
                    taken = self._kafka.topics[self._topic]
                    return {p: taken.take(p, self.identity, base, batches[p]) for p, base in silent.items()}
                await asyncio.sleep(0.001)
            self._kafka.hung.clear()
            outcomes |= dict.fromkeys(silent, Refused(Kind.CURABLE, "no answer"))
        return outcomes

    async def kill(self) -> None:
        """Leave; killing twice is once."""
        self._kafka.open_now -= self._open
        self._open = False
