"""Backlog: what is on disk and on its way, read a piece at a time, by today's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from relay.core.errors import Undeliverable
from relay.core.model import Mirror, Status
from relay.lane import Batch, Committed, Item
from relay.spool import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from relay.core.model import Processed, Record
    from relay.core.pipeline import Pipeline
    from relay.spool import Flight, Spool, Stored

log = structlog.get_logger()

UNMIRRORED = "dead_letters"  # what drops a mirror in the place of a rule: no topic is configured there


class Backlog:
    """Turns stored deliveries into committed ones, as they were and as today's rules have them.

    Pending deliveries are routed anew; what is settled or in a flight stays as it is. So are mirrors, into today's
    topic; where there is none they are dropped. A delivery whose source is no longer configured stays pending, and is
    counted in `orphans`, until it is.
    """

    def __init__(self, spool: Spool, pipeline: Pipeline, mirrors: str | None) -> None:
        """Read from `spool`, by the rules of `pipeline`; `mirrors` is the topic of dead letters."""
        self._spool = spool
        self._pipeline = pipeline
        self._mirrors = mirrors
        self._in_flight: dict[int, set[str]] = {}
        self.orphans: dict[str, int] = {}
        self._last_orphan = 0

    async def flights(self) -> dict[str, list[Batch]]:
        """Give the flights that an earlier process left, by topic, with their records as journalled."""
        batches: dict[str, list[Batch]] = {}
        self._in_flight.clear()  # of a file that was found damaged, and is read again
        for flight in await self._spool.flights():
            for number, _ in flight.items:
                self._in_flight.setdefault(number, set()).add(flight.topic)
            batches.setdefault(flight.topic, []).append(Batch(flight, ()))
        return {topic: [await self._board(batch.flight) for batch in group] for topic, group in batches.items()}

    def in_flight(self, number: int) -> AbstractSet[str]:
        """Give the topics in which a delivery was in flight when the process started."""
        return self._in_flight.get(number, frozenset())

    async def read(self, after: int, until: int) -> tuple[Sequence[Committed], int]:
        """Give pending deliveries in (`after`, `until`] that have records to publish, and where the piece ends."""
        page = await self._spool.page(after, until)
        revived = [self._revive(stored) for stored in page]
        return [one for one in revived if isinstance(one, Committed)], page[-1].number if page else until

    async def survey(
        self, after: int, until: int
    ) -> tuple[Sequence[Committed], Sequence[tuple[Verdict, Committed]], int]:
        """Give what `read` gives, and the verdicts on those that have no record left to publish."""
        page = await self._spool.page(after, until)
        committed, verdicts = [], []
        for stored in page:
            revived = self._revive(stored)
            if isinstance(revived, Committed):
                committed.append(revived)
            elif revived:
                verdicts.append(revived)
            else:
                self._orphan(stored)
        return committed, verdicts, page[-1].number if page else until

    def _revive(self, stored: Stored) -> Committed | tuple[Verdict, Committed] | None:
        """Route a stored delivery anew: what it still has to publish, or the verdict when that is nothing."""
        delivery = stored.delivery
        if delivery.source not in self._pipeline.sources:
            return None
        flying, copy = self.in_flight(stored.number), stored.copy
        if isinstance(copy, Mirror) and not flying:
            if self._mirrors is None:
                verdict = Verdict(stored.number, Status.DROPPED, detail=UNMIRRORED)
                return verdict, _committed(stored, "", None, (UNMIRRORED,), (), ())
            copy = replace(copy, topic=self._mirrors)
        try:
            processed = self._pipeline.copy(delivery, copy)
        except Undeliverable as fate:
            committed = _committed(stored, fate.event_id, fate.event_type, (), (), ())
            if flying:  # what is in a flight stays as it is, and brings the delivery's end
                return committed
            return Verdict(stored.number, Status.DEAD, fate.reason, fate.detail), committed
        settled = {*stored.settled, *flying}
        open_records = tuple(record for record in processed.records if record.topic not in settled)
        topics = tuple({*settled, *(record.topic for record in processed.records)})
        committed = _of(stored, processed, open_records, topics)
        if open_records or flying:
            return committed
        verdict = Verdict(stored.number, Status.DROPPED, detail=processed.dropped_by)
        return verdict, committed

    async def _board(self, flight: Flight) -> Batch:
        """Put the records of a flight together again, from the flight and never from a new routing.

        What can no longer be read, or has no source any more, is left out: the batch is then booked anew.
        """
        loaded = await self._spool.load(number for number, _ in flight.items)
        items = (self._item(loaded.get(number), flight.topic, key) for number, key in flight.items)
        return Batch(flight, tuple(item for item in items if item))

    def _item(self, stored: Stored | None, topic: str, key: bytes) -> Item | None:
        if stored is None or stored.delivery.source not in self._pipeline.sources:
            return None
        settled = (*stored.settled, *self._in_flight[stored.number])
        try:
            record = self._pipeline.encode_for(stored.delivery, topic, key, stored.copy)
        except Undeliverable:
            return None
        try:
            processed = self._pipeline.copy(stored.delivery, stored.copy)
        except Undeliverable as fate:  # unroutable by today's rules
            return Item(_committed(stored, fate.event_id, fate.event_type, (), (record,), settled), record)
        topics = tuple({*settled, *(one.topic for one in processed.records)})
        return Item(_of(stored, processed, (record,), topics), record)

    def _orphan(self, stored: Stored) -> None:
        """Count a delivery without a source, once, although a survey that failed is repeated."""
        if stored.number <= self._last_orphan:
            return
        self._last_orphan = stored.number
        source = stored.delivery.source
        if source not in self.orphans:
            log.error("source.missing", source=source, hint="pending deliveries wait until it is configured again")
        self.orphans[source] = self.orphans.get(source, 0) + 1


def _of(stored: Stored, processed: Processed, records: Sequence[Record], topics: Iterable[str]) -> Committed:
    routes = processed.routes or ((processed.dropped_by,) if processed.dropped_by else ())
    return _committed(stored, processed.event.id, processed.event.type, routes, records, topics)


def _committed(  # noqa: PLR0913, PLR0917 - the fields of a value
    stored: Stored,
    event_id: str,
    event_type: str | None,
    routes: Sequence[str],
    records: Sequence[Record],
    topics: Iterable[str],
) -> Committed:
    return Committed(
        number=stored.number,
        source=stored.delivery.source,
        event_id=event_id,
        type=event_type or "",
        routes=tuple(routes),
        received_at=stored.delivery.received_at,
        records=tuple(records),
        topics=tuple(topics),
    )
