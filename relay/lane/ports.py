"""What a lane needs of its neighbours. Real Kafka and the tests' fake pass one contract suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from relay.core.model import Record
    from relay.kafka import Hurried, Identity, Outcome, Topic
    from relay.lane.committed import Item
    from relay.lane.permits import Permits
    from relay.metrics import Metrics
    from relay.spool import Done, Journal, Journalled


class Producer(Protocol):
    """A numbered way into one topic; see `relay.kafka.Producer`."""

    @property
    def identity(self) -> Identity:
        """Under which id batches are numbered."""

    @property
    def worn(self) -> bool:
        """Whether a fresh producer must be taken before the next batch."""

    @property
    def partitions(self) -> int:
        """The topic's partition count as known now."""

    def next_sequence(self, partition: int) -> int:
        """Give the base sequence of the next batch."""

    def rewind(self, partition: int, base_sequence: int) -> None:
        """Let the next batch start with a sequence of the past."""

    async def send(self, batches: Mapping[int, Sequence[Record]], hurried: Hurried) -> dict[int, Outcome]:
        """Send one batch a partition; say what became of each, at the latest when hurried."""

    async def kill(self) -> None:
        """Leave at once, in bounded time."""


class Kafka(Protocol):
    """Topics and producers; see `relay.kafka.Cluster`."""

    async def topic(self, name: str) -> Topic:
        """Find or create a topic. Raises `KafkaUnavailable`."""

    async def open_producer(self, topic: Topic, identity: Identity | None = None) -> Producer:
        """Open a producer, under an identity of the past or a fresh one. Raises `KafkaUnavailable`."""

    async def find(self, topic: str, partition: int, records: Sequence[Record], since: float) -> int | None:
        """Read a partition back for a batch; give its offset. Raises `KafkaUnavailable`, also where it may not."""


class Journals(Protocol):
    """Where a lane writes; see `relay.spool.Spool`."""

    async def write(self, journal: Journal) -> Journalled:
        """Write in one durable commit. Raises `Unavailable`."""

    async def rest(self) -> None:
        """Wait until no commit is under way."""


class Cursor(Protocol):
    """A lane's place in the order of acceptance; see `relay.forwarder`."""

    @property
    def behind(self) -> bool:
        """Whether the next records have to be read from the spool."""

    @property
    def waiting(self) -> Iterable[Item]:
        """The records that wait in the window, in order; while behind, not the next ones."""

    def push(self, item: Item) -> None:
        """Hear of a record that came into the window."""

    async def peek(self, max_bytes: int) -> Sequence[Item]:
        """Give the next records in order, without moving; none when there are none. Raises `Unavailable`."""

    def reading_on(self) -> AbstractAsyncContextManager[None]:
        """While behind, read the next records meanwhile, and wait for that at the end.

        `Unavailable` is left to `peek`.
        """

    def advance(self, number: int) -> None:
        """Move past a delivery: what was given up to it is journalled."""

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a value, not an error
        """Wait for a record; False when none came in time."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What all lanes share.

    `on_done` hears of each commit of a lane: the deliveries that came to their end, and the records that
    were settled. `producer_memory` is how long a broker is trusted to remember a producer, and
    `idle_timeout` how long an idle producer stays open, both in seconds.
    """

    kafka: Kafka
    journals: Journals
    permits: Permits
    metrics: Metrics
    on_done: Callable[[Sequence[Done], Sequence[Item]], None]
    producer_memory: float
    idle_timeout: float
