"""Logbook: what a lane has journalled, and what it has still to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import Placed
from relay.lane.batch import Batch
from relay.spool import Journal, Settlement

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._landed: list[Batch] = []
        self._settlements: list[Settlement] = []
        self._settling: list[Item] = []

    async def write(
        self, flights: Sequence[tuple[Flight, Sequence[Item]]], *, replaced: Sequence[Batch] = ()
    ) -> list[Batch]:
        """Settle what waits and journal new flights, in the place of others maybe; give the new batches.

        Raises `Unavailable`.
        """
        journal = Journal(
            settlements=tuple(self._settlements),
            landed=tuple(batch.flight.id for batch in (*self._landed, *replaced)),
            flights=tuple(flight for flight, _ in flights),
        )
        journalled = await self._neighbours.journals.write(journal)
        settled, self._settling = self._settling, []
        self._settlements.clear()
        self._landed.clear()
        batches = [Batch(flight, tuple(items)) for flight, (_, items) in zip(journalled.flights, flights, strict=True)]
        self.aloft = [batch for batch in self.aloft if batch not in replaced] + batches
        self._neighbours.on_done(journalled.done, settled)
        return batches

    async def settle(self) -> None:
        """Write the settlements that wait, if any. Raises `Unavailable`."""
        if self._settlements or self._landed:
            await self.write(())

    def land(self, batch: Batch, base_offset: int | None) -> None:
        """Note that a batch is in Kafka: receipts may leave now, settling rides on the next commit."""
        self.aloft.remove(batch)
        self._landed.append(batch)
        self._neighbours.metrics.records_published(self._topic, len(batch.items))
        for place, item in enumerate(batch.items):
            offset = None if base_offset is None else base_offset + place
            self._settle(item, Settlement(item.number, item.committed.topics, self._topic, batch.partition, offset))
            item.committed.place(Placed(self._topic, batch.partition, offset))

    def bury(self, item: Item, reason: Reason, detail: str) -> None:
        """Note that a record will never be in Kafka; its delivery becomes a dead letter."""
        topics = item.committed.topics
        self._settle(item, Settlement(item.number, topics, self._topic, reason=reason, detail=detail))
        item.committed.bury(self._topic, reason)

    def _settle(self, item: Item, settlement: Settlement) -> None:
        self._settlements.append(settlement)
        self._settling.append(item)
