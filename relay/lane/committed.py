"""Committed: a delivery that is on disk and on its way, as the lanes see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from relay.core.model import Placed, Status

if TYPE_CHECKING:
    import asyncio

    from relay.core.errors import Reason
    from relay.core.model import Record

OBJECT_BYTES = 1_000  # what a committed delivery takes beside its records' keys and values, measured and rounded up


class Committed:
    """A delivery with the records it has still to publish, and what became of them so far.

    `topics` names all topics of the delivery, also those whose records were settled before this
    value was made. `waiting` are told when there is nothing left to wait for. `settled` is set when
    the spool has its end on disk; `answered` is the word its sender was told first, and `answered_at` when
    (seconds since the epoch): known before its settlement is written, when its sender waits (`awaited`).
    `arrived` is when it came by the monotonic clock of this process; None when another process took it in.
    """

    __slots__ = (
        "_on_disk", "_open", "answered", "answered_at", "arrived", "awaited", "event_id", "number", "placed", "reason",
        "received_at", "records", "routes", "settled", "size", "source", "topics", "type", "waiting",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one value, each field by keyword
        self,
        *,
        number: int,
        source: str,
        event_id: str,
        type: str,  # noqa: A002 - the word of CloudEvents
        routes: tuple[str, ...],
        received_at: float,
        records: tuple[Record, ...],
        topics: tuple[str, ...],
        arrived: float | None = None,
    ) -> None:
        """Start with every record still to be acknowledged."""
        self.number = number
        self.source = source
        self.event_id = event_id
        self.type = type
        self.routes = routes
        self.received_at = received_at
        self.records = records
        self.topics = topics
        self.arrived = arrived
        self.placed: list[Placed] = []
        self.reason: Reason | None = None
        self.answered: str | None = None
        self.answered_at: float | None = None
        self.awaited = self.settled = False
        self.waiting: list[asyncio.Future[None]] = []
        self._on_disk: frozenset[str] = frozenset()
        self._open = {record.topic for record in records}
        self.size = OBJECT_BYTES  # the bytes it takes in memory, about
        for record in records:
            self.size += len(record.key) + len(record.value)

    @property
    def places(self) -> tuple[Placed, ...]:
        """Where its records are, by topic: in the order in which the spool gives them too."""
        return tuple(sorted(self.placed, key=lambda placed: placed.topic))

    @property
    def acknowledged(self) -> bool:
        """Tell whether every record has come to its end."""
        return not self._open

    @property
    def status(self) -> Status:
        """Pending while a record is, else dead if one is, else published."""
        if self._open:
            return Status.PENDING
        return Status.DEAD if self.reason else Status.PUBLISHED

    def place(self, placed: Placed) -> None:
        """Note that a record is in Kafka."""
        self.placed.append(placed)
        self._close(placed.topic)

    def bury(self, topic: str, reason: Reason) -> None:
        """Note that a record will never be in Kafka; twice is as good as once, should a commit be repeated."""
        self.reason = reason
        self._close(topic)

    def settle(self, topic: str) -> bool:
        """Note that the end of a topic's record is on disk; True when that of all its topics is."""
        if len(self.topics) > 1:
            self._on_disk |= {topic}
        return len(self.topics) == 1 or self._on_disk.issuperset(self.topics)

    def tell(self, word: str) -> None:
        """Note what its sender is told, and when; the first word counts."""
        if self.answered is None:
            self.answered = word
            self.answered_at = time.time()

    def release(self) -> None:
        """Let go whoever waits for it."""
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)
        self.waiting.clear()

    def _close(self, topic: str) -> None:
        self._open.discard(topic)
        if not self._open:
            if self.awaited:  # the sender who is let go now is told the end
                self.tell(self.status)
            self.release()


class Item(NamedTuple):
    """One record on its way through a lane, with the delivery it belongs to."""

    committed: Committed
    record: Record

    @property
    def number(self) -> int:
        """The number of its delivery."""
        return self.committed.number
