"""Bookings: a lane's next round, journalled in the very commit that brings its deliveries to disk."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from relay.core.errors import Unavailable
from relay.lane.batch import by_partition, fitting, flights_of
from relay.lane.committed import Item
from relay.spool import WARM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from relay.lane.batch import Batch, Fresh, Numbered
    from relay.lane.logbook import Logbook
    from relay.lane.ports import Cursor, Producer
    from relay.spool import Flight, Journal, Journalled


class _Round(NamedTuple):
    """Flights that were drawn up, and the items for them as they become known: what waited, then what is fresh."""

    flights: Sequence[Flight]
    items: dict[int, Item]


class Bookings:
    """Books a lane's next round while it publishes, so that no answer waits for a commit of its flights alone.

    A round takes what waits in memory and what the commit brings, in order. One is booked ahead at most, and is sent
    when the one before it has landed: one batch in flight a partition, as ever. It is drawn up with the commit; then
    comes `adopt`, or `discard` where nothing was written. Between the two every record of the round goes by `push`.
    """

    def __init__(self, topic: str, cursor: Cursor, logbook: Logbook) -> None:
        """Book nothing yet."""
        self._topic = topic
        self._cursor = cursor
        self._logbook = logbook
        self._producer: Producer | None = None
        self._room = 0
        self._drawn: _Round | None = None
        self._booked: list[Batch] = []

    @property
    def ready(self) -> bool:
        """Tell whether a round is on disk and has still to be sent."""
        return bool(self._booked)

    def open(self, producer: Producer, room: int) -> None:
        """Book under the numbers of this producer, `room` bytes a round."""
        self._producer, self._room = producer, room

    def close(self) -> None:
        """Book no more. What was booked is a flight like any other: to be sent, or recovered."""
        self._producer = None

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

        Raises `Unavailable` when a record of it was stranded: its numbers are taken, so that it has to be booked anew.
        """
        booked, self._booked = self._booked, []
        if any(len(batch.items) < len(batch.flight.items) for batch in booked):
            raise Unavailable("a record that was journalled was not handed on")
        return booked

    def draw(self, fresh: Sequence[Fresh]) -> Journal | None:
        """Draw up the next round, and settle what waits; None when this lane journals for itself."""
        self._drawn = None
        producer = self._producer
        if producer is None or self._booked or self._logbook.busy:
            return None
        if self._logbook.oldest < fresh[0].number - WARM:  # its settlement may have to wait for the disk
            return None
        candidates: Iterable[Numbered] = chain(self._cursor.waiting, fresh)
        if not (chosen := fitting(candidates, self._room)):
            return None
        groups = by_partition(chosen, producer.partitions)
        sequences = defaultdict(int, {at: self._logbook.next_sequence(at, producer.next_sequence(at)) for at in groups})
        flights = [flight for flight, _ in flights_of(self._topic, groups.items(), producer.identity, sequences)]
        self._drawn = _Round(flights, {item.number: item for item in chosen if isinstance(item, Item)})
        return self._logbook.draw(flights)

    def push(self, item: Item) -> None:
        """Hear of a record that came to disk."""
        if self._drawn:
            self._drawn.items[item.number] = item

    def adopt(self, journalled: Journalled) -> None:
        """Take the round that was drawn up as journalled."""
        if self._drawn is None:
            raise AssertionError("nothing was drawn up")
        (flights, items), self._drawn = self._drawn, None
        boarded = [[items[number] for number, _ in flight.items if number in items] for flight in flights]
        self._booked = self._logbook.adopt(journalled, boarded)
        self._cursor.advance(max(flight.items[-1][0] for flight in flights))

    def discard(self) -> None:
        """Take what was drawn up as not written."""
        self._drawn = None
        self._logbook.discard()
