"""Logbook: what a lane has journalled, and what it has still to write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.core.errors import Unavailable
from relay.core.model import Placed
from relay.lane.batch import Batch
from relay.spool import Journal, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.core.errors import Reason
    from relay.lane.committed import Item
    from relay.lane.ports import Neighbours
    from relay.spool import Flight


class Logbook:
    """Keeps a lane's flights in step with the spool.

    `aloft` holds the batches that were journalled and are not acknowledged, in the order in which
    they were journalled. Every change goes to disk in one commit, with the settlements that wait;
    when a commit fails nothing has changed here, and the next one carries it all again.
    """

    def __init__(self, topic: str, neighbours: Neighbours, aloft: Sequence[Batch]) -> None:
        """Start with the flights that an earlier process left."""
        self._topic = topic
        self._neighbours = neighbours
        self.aloft = list(aloft)
        self._landed: list[tuple[Batch, int | None]] = []
        self._buried: list[tuple[Item, Reason, str]] = []
        self._unsure = False

    async def write(
        self, flights: Sequence[tuple[Flight, Sequence[Item]]], *, replaced: Sequence[Batch] = ()
    ) -> list[Batch]:
        """Settle what waits and journal new flights, in the place of others maybe; give the new batches.

        Raises `Unavailable`. Who is cancelled meanwhile leaves when the commit is over, so that what came to its end
        on disk is told.
        """
        writing = asyncio.ensure_future(self._write(flights, replaced))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    async def _write(self, flights: Sequence[tuple[Flight, Sequence[Item]]], replaced: Sequence[Batch]) -> list[Batch]:
        landed, buried = tuple(self._landed), tuple(self._buried)
        journal = Journal(
            settlements=tuple(self._settlements()),
            landed=tuple(batch.flight.id for batch in (*(batch for batch, _ in landed), *replaced)),
            flights=tuple(flight for flight, _ in flights),
        )
        try:
            journalled = await self._neighbours.journals.write(journal)
        except Unavailable:
            self._unsure = self._unsure or bool(replaced)
            raise
        self._landed.clear()
        self._buried.clear()
        settled = [*(item for batch, _ in landed for item in batch.items), *(item for item, _, _ in buried)]
        batches = [Batch(flight, tuple(items)) for flight, (_, items) in zip(journalled.flights, flights, strict=True)]
        self.aloft = [batch for batch in self.aloft if batch not in replaced] + batches
        self._neighbours.on_done(journalled.done, settled)
        return batches

    async def reaffirm(self) -> None:
        """Journal what is aloft once more, where a commit that failed may have taken its flights from the disk.

        It may stand all the same, and what it put in their place is taken back. Raises `Unavailable`.
        """
        if self._unsure:
            await self.write([(batch.flight, batch.items) for batch in self.aloft], replaced=self.aloft)
            self._unsure = False

    async def settle(self) -> None:
        """Write the settlements that wait, if any. Raises `Unavailable`."""
        if self._landed or self._buried:
            await self.write(())

    def land(self, batch: Batch, base_offset: int | None) -> None:
        """Note that a batch is in Kafka: receipts may leave now, settling rides on the next commit."""
        self.aloft.remove(batch)
        self._landed.append((batch, base_offset))
        self._neighbours.metrics.records_published(self._topic, len(batch.items))
        for place, item in enumerate(batch.items):
            item.committed.place(Placed(self._topic, batch.partition, _offset(base_offset, place)))

    def bury(self, item: Item, reason: Reason, detail: str) -> None:
        """Note that a record will never be in Kafka; its delivery becomes a dead letter."""
        self._buried.append((item, reason, detail))
        item.committed.bury(self._topic, reason)

    def _settlements(self) -> Iterator[Settlement]:
        """Give what has to be settled, with what the senders were told by now."""
        for batch, base_offset in self._landed:
            for place, item in enumerate(batch.items):
                committed, offset = item.committed, _offset(base_offset, place)
                yield Settlement(
                    committed.number, committed.topics, self._topic, batch.partition, offset, None, None,
                    batch.flight.id, committed.answered, committed.answered_at,
                )  # fmt: skip
        for item, reason, detail in self._buried:
            committed = item.committed
            yield Settlement(
                committed.number, committed.topics, self._topic, None, None, reason, detail,
                None, committed.answered, committed.answered_at,
            )  # fmt: skip


def _offset(base_offset: int | None, place: int) -> int | None:
    return None if base_offset is None else base_offset + place
