"""Logbook: what a lane has journalled, and what it has still to write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from relay.core.errors import Unavailable
from relay.core.model import Placed
from relay.lane.batch import Batch, N, by_partition, flights_of
from relay.spool import Journal, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from relay.core.errors import Reason
    from relay.lane.committed import Item
    from relay.lane.ports import Neighbours, Producer
    from relay.spool import Flight, Journalled


class _Drawn(NamedTuple):
    """What a journal that was drawn up settles, so many of what landed and was buried first, and replaces."""

    landed: int
    buried: int
    replaced: Sequence[Batch]


class Logbook:
    """Keeps a lane's flights in step with the spool.

    `aloft` holds the batches that were journalled and are not acknowledged, in the order in which
    they were journalled. Every change goes to disk in one commit, with the settlements that wait;
    when a commit fails nothing has changed here, and the next one carries it all again. One journal is drawn up at a
    time: the lane's own, or one that is booked.
    """

    def __init__(self, topic: str, neighbours: Neighbours, aloft: Sequence[Batch]) -> None:
        """Start with the flights that an earlier process left."""
        self._topic = topic
        self._neighbours = neighbours
        self.aloft = list(aloft)
        self._landed: list[tuple[Batch, int | None]] = []
        self._buried: list[tuple[Item, Reason, str]] = []
        self._unsure = False
        self.partitions = 0  # the topic had when the last round was planned
        self._drawn: _Drawn | None = None

    @property
    def busy(self) -> bool:
        """Tell whether a journal was drawn up and is not known to be on disk, nor to have failed."""
        return self._drawn is not None

    @property
    def buries(self) -> bool:
        """Tell whether a delivery waits to be a dead letter."""
        return bool(self._buried)

    @property
    def oldest(self) -> float:
        """The number of the oldest delivery that waits to be settled; infinity when none does."""
        numbers = (*(batch.items[0].number for batch, _ in self._landed), *(item.number for item, _, _ in self._buried))
        return min(numbers, default=inf)

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
            while not writing.done():
                with suppress(asyncio.CancelledError):  # who is cancelled again does not leave before either
                    await asyncio.wait([writing])
            raise

    async def _write(self, flights: Sequence[tuple[Flight, Sequence[Item]]], replaced: Sequence[Batch]) -> list[Batch]:
        if self.busy:  # with what was booked in the commit that is under way
            await self._neighbours.journals.rest()
        journal = self.draw([flight for flight, _ in flights], replaced)
        try:
            journalled = await self._neighbours.journals.write(journal)
        except BaseException as error:
            self._unsure = self._unsure or (bool(replaced) and isinstance(error, Unavailable))
            self.discard()
            raise
        return self.adopt(journalled, [items for _, items in flights])

    def plan(self, producer: Producer, items: Iterable[N]) -> list[tuple[Flight, Sequence[N]]]:
        """Describe one round, a flight for each partition, numbered behind what is aloft there."""
        self.partitions = producer.partitions
        groups = by_partition(items, self.partitions)
        sequences = {partition: producer.next_sequence(partition) for partition in groups}
        for batch in self.aloft:
            sequences[batch.partition] = batch.flight.base_sequence + len(batch.flight.items)
        return flights_of(self._topic, groups.items(), producer.identity, sequences)

    def draw(self, flights: Sequence[Flight], replaced: Sequence[Batch] = ()) -> Journal:
        """Draw up the journal that settles what waits, and has new flights; `adopt` or `discard` follows."""
        if self.busy:
            raise AssertionError("a journal is drawn up already: what it settles would be settled twice")
        gone = {batch.flight.id for batch in replaced} - {flight.id for flight in flights}
        landed = (*(batch.flight.id for batch, _ in self._landed), *gone)
        journal = Journal(settlements=tuple(self._settlements()), landed=landed, flights=tuple(flights))
        self._drawn = _Drawn(len(self._landed), len(self._buried), replaced)
        return journal

    def adopt(self, journalled: Journalled, items: Iterable[Sequence[Item]]) -> list[Batch]:
        """Take what was drawn up as written; `items` are those of each new flight. Gives the new batches."""
        if self._drawn is None:
            raise AssertionError("nothing was drawn up")
        drawn, self._drawn = self._drawn, None
        landed, self._landed = self._landed[: drawn.landed], self._landed[drawn.landed :]
        buried, self._buried = self._buried[: drawn.buried], self._buried[drawn.buried :]
        settled = [*(item for batch, _ in landed for item in batch.items), *(item for item, _, _ in buried)]
        batches = [Batch(flight, tuple(its)) for flight, its in zip(journalled.flights, items, strict=True)]
        self.aloft = [batch for batch in self.aloft if batch not in drawn.replaced] + batches
        self._neighbours.on_done(journalled.done, settled)
        return batches

    def discard(self) -> None:
        """Take what was drawn up as not written."""
        self._drawn = None

    async def reaffirm(self) -> None:
        """Journal what is aloft as it was, where a commit that failed may have taken its flights from the disk.

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
