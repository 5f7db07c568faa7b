"""Recovery: handing over again the flights that are not acknowledged."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Reason
from relay.kafka import Acknowledged, KafkaUnavailable, Kind
from relay.lane.batch import by_partition, flights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.kafka import Hurried, Identity, Refused, Topic
    from relay.lane.batch import Batch
    from relay.lane.committed import Item
    from relay.lane.logbook import Logbook
    from relay.lane.ports import Neighbours, Producer
    from relay.spool import Flight

    Group = tuple[int, Sequence[Item]]

log = structlog.get_logger()

READ_BACKS = 5
"""How often in all a topic is read back for a batch: an answer may be late, and without leave to read none comes."""


class Recovery:
    """Brings a lane's flights to an end, each record once as far as the broker remembers.

    A flight is handed over under the id, epoch and base sequence it was journalled with, and with
    exactly its records: the broker recognises what it has. Where it cannot (a memory too old, another
    cluster, a topic made anew, a partition that is gone), the records are counted as possible duplicates. An id of the
    past carries nothing but the batch journalled under it; a fresh id is a new flight, durable before
    it is sent.
    """

    def __init__(self, topic: str, logbook: Logbook, neighbours: Neighbours) -> None:
        """Prepare for one lane."""
        self._name = topic
        self._logbook = logbook
        self._neighbours = neighbours
        self._doubted: set[int] = set()  # deliveries whose record is counted
        self._unsent: set[int] = set()  # flights of ours that were never handed over
        self._unread: Counter[int] = Counter()  # how often it failed to read the topic back for a flight

    def note_unsent(self, batches: Iterable[Batch]) -> None:
        """Hear of flights that were journalled and never handed over: no broker can have them."""
        self._unsent.update(batch.flight.id for batch in batches)

    async def run(self, hurried: Hurried) -> None:
        """Return when no flight is left. Raises `Unavailable`; what is left then is still journalled."""
        while self._logbook.aloft:
            await self._logbook.reaffirm()
            await self._hand_over(hurried)
            await self._logbook.settle()
        self._doubted.clear()
        self._unread.clear()
        self._unsent.clear()

    async def _hand_over(self, hurried: Hurried) -> None:
        """Hand over the flights of one identity, one a partition, and act on each answer."""
        topic = await self._neighbours.kafka.topic(self._name)
        identity = self._logbook.aloft[0].identity
        group = _first_by_partition(batch for batch in self._logbook.aloft if batch.identity == identity)
        producer = await self._neighbours.kafka.open_producer(topic, identity if identity.idempotent else None)
        try:
            lost = [batch for batch in group if not self._can_repeat(batch, producer.identity, topic)]
            known = [batch for batch in group if batch not in lost]
            unsent = {batch.flight.id for batch in known} & self._unsent
            self._unsent -= unsent
            refusals = await self._send(producer, known, hurried)
        finally:
            await producer.kill()
        forgotten = lost + [batch for batch, refused in refusals if refused.kind is Kind.FORGOTTEN]
        if forgotten:
            behind = [follower for batch in forgotten for follower in self._followers(batch)]
            self._doubt(forgotten + behind, "the broker does not know these batches any more")
            await self._rebook(topic, [(batch, _groups(batch, topic)) for batch in forgotten])
        for batch, refused in refusals:
            if refused.kind is Kind.CONTENT and (batch.flight.id in unsent or not await self._is_written(batch)):
                await self._halve(topic, batch, refused)
        for _, refused in refusals:
            if refused.kind is Kind.CURABLE:
                raise KafkaUnavailable(refused.error)

    def _can_repeat(self, batch: Batch, identity: Identity, topic: Topic) -> bool:
        """Tell whether a batch may be handed over as it was journalled; count those the broker may have forgotten.

        Raises `KafkaUnavailable` when who was asked for the topic knows less of it than was known before.
        """
        flight, now = batch.flight, time.time()
        whole = len(batch.items) == len(flight.items)
        cluster, _, topic_id = identity.cluster.partition("/")
        flown_to, _, flown_id = flight.cluster.partition("/")
        if flight.partition >= topic.partitions and flown_id and flight.cluster == identity.cluster:
            # Of one topic no partition ever goes: the broker asked is behind, and knows this one in a while.
            raise KafkaUnavailable(f"a broker does not know partition {flight.partition} of topic {topic.name} yet")
        if flown_to != cluster or flight.partition >= topic.partitions or not whole:
            return False
        # Flights that an earlier version of the relay journalled name only the cluster. Of a topic made anew the batch
        # may be in the one that is gone, where it was read, or in this one, which then recognises it.
        if flown_id and flown_id != topic_id:
            self._doubt([batch], "the topic was made anew")
        elif not batch.identity.idempotent or not identity.idempotent:
            self._doubt([batch], "sent without idempotence")
        elif not now - self._neighbours.producer_memory <= flight.sent_at <= now:
            self._doubt([batch], "older than kafka.producer_memory, or from the future")
        return True

    async def _send(
        self, producer: Producer, batches: Sequence[Batch], hurried: Hurried
    ) -> list[tuple[Batch, Refused]]:
        """Send batches under their own numbers; land those acknowledged, give the others."""
        if not batches:
            return []
        for batch in batches:
            producer.rewind(batch.partition, batch.flight.base_sequence)
        outcomes = await producer.send({batch.partition: batch.records for batch in batches}, hurried)
        refusals = []
        for batch in batches:
            outcome = outcomes[batch.partition]
            if isinstance(outcome, Acknowledged):
                self._logbook.land(batch, outcome.base_offset)
            else:
                refusals.append((batch, outcome))
        return refusals

    async def _is_written(self, batch: Batch) -> bool:
        """Look in the topic for a batch that was sent before, and is refused for its content now; land it if there.

        Brokers weigh a batch before they know it again, and a topic's limit may have been lowered since. Raises
        `KafkaUnavailable` while that cannot be looked at, so that it is tried again; in the end it is in doubt.
        """
        try:
            offset = await self._neighbours.kafka.find(self._name, batch.partition, batch.records, batch.flight.sent_at)
        except KafkaUnavailable as error:
            self._unread[batch.flight.id] += 1
            if self._unread[batch.flight.id] < READ_BACKS:
                raise
            self._doubt([batch], f"refused for its content, and the topic could not be read back: {error}")
            return False
        if offset is None:
            return False
        self._logbook.land(batch, offset)
        return True

    async def _halve(self, topic: Topic, batch: Batch, refused: Refused) -> None:
        """Find the record that is not taken: flights of half the records; a single one is dead."""
        items = batch.items
        if len(items) == 1:
            doubt = "; it may be in Kafka all the same" if items[0].number in self._doubted else ""
            detail = f"topic {self._name} refused the record: {refused.error}{doubt}"
            await self._rebook(topic, [(batch, ())])  # before it is dead: never both that and aloft
            self._logbook.bury(items[0], Reason.REFUSED, detail)
            return
        middle = len(items) // 2
        halves = ((batch.partition, items[:middle]), (batch.partition, items[middle:]))
        await self._rebook(topic, [(batch, halves)])

    async def _rebook(self, topic: Topic, changes: Sequence[tuple[Batch, Iterable[Group]]]) -> None:
        """Put flights under a fresh id in the place of others, durably; they are sent in the next turn.

        What was journalled behind them on their partitions goes along, or it would be sent before them,
        and under numbers that no longer follow.
        """
        replaced: list[Batch] = []
        groups: list[Group] = []
        for batch, parts in changes:
            followers = self._followers(batch)
            replaced += (batch, *followers)
            groups += (*parts, *(group for follower in followers for group in _groups(follower, topic)))
        flights: Sequence[tuple[Flight, Sequence[Item]]] = ()
        if groups:
            producer = await self._neighbours.kafka.open_producer(topic)
            await producer.kill()
            flights = flights_of(self._name, groups, producer.identity, defaultdict(int))
        rebooked = await self._logbook.write(flights, replaced=replaced)
        self.note_unsent(rebooked)

    def _followers(self, batch: Batch) -> list[Batch]:
        """Give what was journalled behind a batch on its partition; handed over, it is always the first there."""
        return [other for other in self._logbook.aloft if other.partition == batch.partition and other is not batch]

    def _doubt(self, batches: Sequence[Batch], why: str) -> None:
        """Count records that may be in Kafka twice, each once."""
        for batch in (batch for batch in batches if batch.flight.id not in self._unsent):
            numbers = {number for number, _ in batch.flight.items}
            if records := len(numbers - self._doubted):
                self._doubted |= numbers
                self._neighbours.metrics.possible_duplicates(self._name, records)
                log.warning("flight.doubtful", topic=self._name, flight=batch.flight.id, records=records, why=why)


def _first_by_partition(batches: Iterable[Batch]) -> list[Batch]:
    """Choose the earliest batch of each partition: one in flight a partition, also in recovery."""
    first: dict[int, Batch] = {}
    for batch in batches:
        first.setdefault(batch.partition, batch)
    return list(first.values())


def _groups(batch: Batch, topic: Topic) -> Iterable[Group]:
    """Keep a batch on its partition; when that is gone, go by the keys. Nothing when none of its records is left."""
    if not batch.items:
        return ()
    if batch.partition < topic.partitions:
        return ((batch.partition, batch.items),)
    return by_partition(batch.items, topic.partitions).items()
