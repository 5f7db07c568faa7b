"""Lane: one topic's way into Kafka, crash-only.

    while running:
        recover()      every flight of this lane: hand it over again, settle it
        publish()      until something breaks, or nothing is left to do

There is one way to recover, and a process start, a stuck producer and a failed batch all use it.
A batch is journalled as a flight before it is sent: no flight row, no send. What was acknowledged is
settled in the commit that journals the next flights, so the journal costs no commit of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from itertools import accumulate
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Reason, Unavailable
from relay.kafka import Acknowledged, KafkaUnavailable, TopicMissing, record_size
from relay.lane.batch import by_partition, flights_of
from relay.lane.logbook import Logbook
from relay.lane.recovery import Recovery
from relay.metrics import LaneState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.kafka import Hurried, Topic
    from relay.lane.batch import Batch
    from relay.lane.committed import Item
    from relay.lane.permits import Permit
    from relay.lane.ports import Cursor, Neighbours, Producer

log = structlog.get_logger()

ROUND_BYTES = 1 << 20
LATE = 5.0  # seconds after which a missing answer is told: brokers that are well need one, a leader's move two or three
TURN = 1.0  # seconds a lane may keep its producer while another waits for one
PATIENCE, PATIENCE_MAX = 2.0, 10.0  # seconds for which an answer is waited for while another lane waits for a producer
GIVE_WAY = 0.2  # seconds until an idle lane sees that another waits for its producer
BACKOFF_FIRST, BACKOFF_MAX = 0.1, 5.0


class Lane:
    """Publishes one topic's records in order of acceptance, each once; one batch in flight a partition.

    It never gives up: what can be cured is waited for, and told in `state`, `trouble` and `since`;
    what cannot is buried with its reason, and those behind it go on.
    """

    def __init__(self, topic: str, cursor: Cursor, neighbours: Neighbours, flights: Sequence[Batch] = ()) -> None:
        """Prepare the lane; `flights` are those that an earlier process left."""
        self.topic = topic
        self.cursor = cursor
        self._failed: str | None = None  # why it tries again after a pause
        self._late: str | None = None  # why a batch has no answer, which may still come
        self.since = time.time()
        self._neighbours = neighbours
        self._logbook = Logbook(topic, neighbours, flights)
        self._recovery = Recovery(topic, self._logbook, neighbours)
        self._recovering = bool(flights)
        self._failures = 0
        self._failed_at = 0.0  # as `since`, by the clock that nobody sets

    @property
    def trouble(self) -> str | None:
        """What keeps the lane from publishing, or holds it up for longer than `LATE`; None while it is well."""
        return self._late or self._failed

    @property
    def state(self) -> LaneState:
        """How the lane stands; an answer waits for `READY` lanes only."""
        if self.trouble:
            return LaneState.WAITING
        if self._recovering:
            return LaneState.RECOVERING
        return LaneState.BEHIND if self.cursor.behind else LaneState.READY

    @property
    def flights(self) -> Sequence[Batch]:
        """The flights aloft: journalled, and not acknowledged."""
        return self._logbook.aloft

    async def run(self) -> None:
        """Recover and publish until the lane has been idle for a while; what breaks is waited out."""
        while True:
            try:
                async with self._neighbours.permits.one(troubled=self.trouble is not None) as permit:
                    await self._recover(permit)
                    if await self._publish(permit):
                        return
            except Unavailable as error:
                self._fail(error)
            except Exception as error:  # a fault of ours holds back this topic only
                log.exception("lane.broken", topic=self.topic)
                self._fail(Unavailable(f"unexpected: {error!r}"))
            await asyncio.sleep(self._backoff())

    async def settle(self) -> None:
        """Write down what was acknowledged since the last commit. Raises `Unavailable`, and then keeps it."""
        await self._logbook.settle()

    async def _recover(self, permit: Permit) -> None:
        """Bring every flight that is not acknowledged to its end."""
        await self._logbook.settle()
        self._recovering = bool(self._logbook.aloft)
        if not self._recovering:
            return
        self._neighbours.metrics.lane_recovered(self.topic)
        log.info("lane.recovering", topic=self.topic, flights=len(self._logbook.aloft))
        await self._recovery.run(self._hurried(permit))
        self._recovering = False
        log.info("lane.recovered", topic=self.topic)

    async def _publish(self, permit: Permit) -> bool:
        """Send round after round. True when idle for so long that the producer was closed, False to give way."""
        topic = await self._neighbours.kafka.topic(self.topic)
        producer = await self._neighbours.kafka.open_producer(topic)
        opened = time.monotonic()
        try:
            while items := await self._next(topic, permit):
                if fitting := _fitting(items, topic.max_batch):
                    await self._send(producer, fitting, self._hurried(permit))
                else:
                    topic = await self._weigh(items[0], topic)
                if producer.worn or (permit.wanted and time.monotonic() - opened > TURN):
                    return False
            return True
        finally:
            await producer.kill()

    async def _next(self, topic: Topic, permit: Permit) -> Sequence[Item]:
        """Take what waits, else settle at once and wait; nothing when idle for long, or while a lane wants a turn.

        While a commit is under way the journal of the round would wait for its end, so what it brings is taken as well.
        """
        limit, patience = min(topic.max_batch, ROUND_BYTES), self._neighbours.idle_timeout
        idle_since = time.monotonic()
        await self._neighbours.journals.rest()
        while not (items := await self.cursor.peek(limit)):
            self._heal()
            await self._logbook.settle()
            if permit.wanted or time.monotonic() - idle_since >= patience:
                return ()
            await self.cursor.wait(min(GIVE_WAY, patience))
        return items

    async def _weigh(self, item: Item, known: Topic) -> Topic:
        """Bury a record that is too large by what is known of the topic, unless that has changed; give the topic."""
        topic = await self._neighbours.kafka.topic(self.topic)
        if topic.max_batch == known.max_batch:
            self._logbook.bury(item, Reason.TOO_LARGE, f"topic {topic.name} takes {topic.max_batch} bytes at most")
            self.cursor.advance(item.number)
        return topic

    async def _send(self, producer: Producer, items: Sequence[Item], hurried: Hurried) -> None:
        """Journal one round, a batch for each partition; send it; note what was acknowledged."""
        groups = by_partition(items, producer.partitions)
        sequences = {partition: producer.next_sequence(partition) for partition in groups}
        flights = flights_of(self.topic, groups.items(), producer.identity, sequences)
        batches = await self._logbook.write(flights)
        self.cursor.advance(items[-1].number)
        outcomes = await producer.send({batch.partition: batch.records for batch in batches}, hurried)
        broken = None
        for batch in batches:
            outcome = outcomes[batch.partition]
            if isinstance(outcome, Acknowledged):
                self._logbook.land(batch, outcome.base_offset)
            else:
                broken = outcome
        if broken:
            raise KafkaUnavailable(broken.error)
        self._heal()

    def _fail(self, error: Unavailable) -> None:
        """Say what is wrong, once for each trouble, and since when."""
        if self.trouble is None:
            self.since, self._failed_at = time.time(), time.monotonic()
        told = self._failed is not None and _gist(self._failed) == _gist(str(error))
        if isinstance(error, TopicMissing) and not told:
            log.error("topic.missing", topic=self.topic, error=str(error))
        elif not told:
            log.error("lane.failed", topic=self.topic, error=str(error), flights=len(self._logbook.aloft))
        self._failed, self._late = str(error), None
        self._failures += 1

    def _delay(self, waited: float, why: str) -> None:
        """Say that an answer is late, why, and since when. Nothing else is done: the flight stays aloft."""
        told, self._late = self.trouble is not None, f"no answer yet; {why}" if why else "no answer yet"
        if not told:
            self.since, self._failed_at = time.time() - waited, time.monotonic() - waited
            log.warning("lane.delayed", topic=self.topic, error=self._late, flights=len(self._logbook.aloft))

    def _heal(self) -> None:
        if self.trouble:
            log.info("lane.healed", topic=self.topic, seconds=round(time.monotonic() - self._failed_at, 3))
            self._failed = self._late = None
            self.since = time.time()
        self._failures = 0

    def _hurried(self, permit: Permit) -> Hurried:
        """Say when an answer is waited for no longer: others wait, and it is late. Who has failed gets more time."""
        patience = min(PATIENCE_MAX, PATIENCE * 2 ** min(self._failures, 16))

        def hurried(waited: float, why: str) -> bool:
            if waited > LATE:
                self._delay(waited, why)
            return waited > patience and permit.wanted

        return hurried

    def _backoff(self) -> float:
        """Give full jitter: lanes that failed together do not return together."""
        return random.uniform(0, min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._failures, 16)))  # noqa: S311 - no secret


def _gist(trouble: str) -> str:
    """Leave out what may be another thing at each attempt: the last error and its partition, and what follows."""
    return trouble.partition(";")[0]


def _fitting(items: Sequence[Item], room: int) -> list[Item]:
    """Choose what one batch may hold, should all keys be of one partition; what surrounds a record counts as well."""
    sizes = accumulate(record_size(item.record) for item in items)
    return [item for item, size in zip(items, sizes, strict=True) if size <= room]
