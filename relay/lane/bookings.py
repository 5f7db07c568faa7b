"""Bookings: a lane's next round, journalled in the very commit that brings its deliveries to disk."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable
from relay.lane.batch import fitting
from relay.lane.committed import Item
from relay.spool import WARM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from relay.lane.batch import Batch, Fresh, Numbered
    from relay.lane.logbook import Logbook
    from relay.lane.ports import Cursor, Producer
    from relay.spool import Flight, Journal, Journalled

log = structlog.get_logger()


class Bookings:
    """Books a lane's next round while it publishes, so that no answer waits for a commit of its flights alone.

    A round takes what waits in memory and what the commit brings, in order. One is booked ahead at most, and is sent
    when the one before it has landed: one batch in flight a partition, as ever.
    """

    def __init__(self, topic: str, cursor: Cursor, logbook: Logbook) -> None:
        """Book nothing yet."""
        self.topic = topic
        self._cursor = cursor
        self._logbook = logbook
        self._producer: Producer | None = None
        self._room = 0
        self._drawn: Booking | None = None
        self._booked: list[Batch] = []
        self._fault: Unavailable | None = None

    @property
    def due(self) -> bool:
        """Tell whether a round is on disk and has still to be sent, or has failed."""
        return bool(self._booked or self._fault)

    def open(self, producer: Producer, room: int) -> None:
        """Book under the numbers of this producer, `room` bytes a round."""
        self._producer, self._room = producer, room

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Book nothing meanwhile, since the lane chooses for itself of what waits."""
        producer, self._producer = self._producer, None
        try:
            yield
        finally:
            self._producer = producer

    def take(self) -> list[Batch]:
        """Give the round that is to be sent now; none, when none is booked.

        Raises `Unavailable` when it cannot be sent as it was journalled: then it stays what it is, to be recovered.
        """
        if fault := self._fault:
            self._fault = None
            raise fault
        booked, self._booked = self._booked, []
        return booked

    def close(self) -> list[Batch]:
        """Book no more; give what was booked and never sent."""
        self._producer = self._fault = None
        booked, self._booked = self._booked, []
        return booked

    def draw(self, fresh: Sequence[Fresh]) -> Booking | None:
        """Draw up the next round, and settle what waits, for a commit that brings `fresh`.

        None when nothing can be booked: the lane does not publish, or chooses for itself; a round is booked already, or
        a journal under way; partitions were added, and keys may have moved from where the round before them is aloft;
        what would be settled may have to be read; or the first record is too large.
        """
        producer, logbook = self._producer, self._logbook
        if (
            producer is None
            or self.due
            or logbook.busy
            or (logbook.aloft and logbook.partitions != producer.partitions)
        ):
            return None
        if logbook.oldest < fresh[0].number - WARM:
            return None
        candidates: Iterable[Numbered] = chain(self._cursor.waiting, fresh)
        if not (chosen := fitting(candidates, self._room)):
            return None
        flights = [flight for flight, _ in logbook.plan(producer, chosen)]
        known = {item.number: item for item in chosen if isinstance(item, Item)}
        self._drawn = Booking(self, logbook.draw(flights), known)
        return self._drawn

    def push(self, item: Item) -> None:
        """Hear of a record that came to disk."""
        if self._drawn:
            self._drawn.items[item.number] = item

    def fail(self, error: Exception) -> None:
        """Let the lane recover from a fault of ours."""
        self._fault = Unavailable(f"unexpected: {error!r}")

    def adopt(self, flights: Sequence[Flight], items: dict[int, Item], journalled: Journalled) -> None:
        """Take the round that was drawn up as journalled."""
        self._drawn = None
        self._cursor.advance(max(flight.items[-1][0] for flight in flights))
        boarded = [[items[number] for number, _ in flight.items if number in items] for flight in flights]
        self._booked = self._logbook.adopt(journalled, boarded)
        if any(len(batch.items) < len(batch.flight.items) for batch in self._booked):
            self._fault = Unavailable("a record that was journalled was not handed on")

    def discard(self) -> None:
        """Take what was drawn up as not written."""
        self._drawn = None
        self._logbook.discard()


class Booking:
    """One round in a commit that is under way. Then `adopt` or `discard` is called, once.

    `items` are those that were known when it was drawn up; the fresh ones come by `Bookings.push` as they come to disk,
    and one that does not was stranded.
    """

    def __init__(self, bookings: Bookings, journal: Journal, items: dict[int, Item]) -> None:
        """Belong to the bookings of one lane."""
        self._bookings = bookings
        self.journal = journal
        self.items = items

    def adopt(self, journalled: Journalled) -> None:
        """Hear that it is on disk. A fault of ours is the lane's to recover from, and nobody else's."""
        try:
            self._bookings.adopt(self.journal.flights, self.items, journalled)
        except Exception as error:
            log.exception("lane.broken", topic=self._bookings.topic)
            self._bookings.fail(error)

    def discard(self) -> None:
        """Hear that nothing of it is."""
        self._bookings.discard()
