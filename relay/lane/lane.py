"""Lane: one topic's way into Kafka, crash-only.

    while running:
        recover()      every flight of this lane: hand it over again, settle it
        publish()      until something breaks, or nothing is left to do

There is one way to recover, and a process start, a stuck producer and a failed batch all use it.
A batch is journalled as a flight before it is sent: no flight row, no send. While the lane is well that is done in
the commit that brings its deliveries to disk, and settles what was acknowledged, so that the journal costs no commit.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Reason, Unavailable
from relay.kafka import Acknowledged, KafkaUnavailable
from relay.lane.batch import fitting
from relay.lane.bookings import Bookings
from relay.lane.logbook import Logbook
from relay.lane.recovery import Recovery
from relay.lane.trouble import Trouble
from relay.metrics import LaneState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.kafka import Hurried
    from relay.lane.batch import Batch, Fresh
    from relay.lane.bookings import Booking
    from relay.lane.committed import Item
    from relay.lane.permits import Permit
    from relay.lane.ports import Cursor, Neighbours, Producer

log = structlog.get_logger()

ROUND_BYTES = 1 << 20
LATE = 5.0  # seconds after which a missing answer is told: brokers that are well need one, a leader's move two or three
TURN = 1.0  # seconds a lane may keep its producer while another waits for one
PATIENCE, PATIENCE_MAX = 2.0, 10.0  # seconds for which an answer is waited for while another lane waits for a producer
GIVE_WAY = 0.2  # seconds until an idle lane sees that another waits for its producer
LULL = 0.05  # seconds for which what was acknowledged waits to be settled by the commit of a delivery that may come
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
        self._trouble = Trouble(topic)
        self._neighbours = neighbours
        self._logbook = Logbook(topic, neighbours, flights)
        self._bookings = Bookings(topic, cursor, self._logbook)
        self._recovery = Recovery(topic, self._logbook, neighbours)
        self._recovering = bool(flights)

    @property
    def trouble(self) -> str | None:
        """What keeps the lane from publishing, or holds it up for longer than `LATE`; None while it is well."""
        return self._trouble.now

    @property
    def since(self) -> float:
        """When the trouble began, else when it ended, in seconds since the epoch."""
        return self._trouble.since

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
                self._trouble.fail(error, len(self.flights))
            except Exception as error:  # a fault of ours holds back this topic only
                log.exception("lane.broken", topic=self.topic)
                self._trouble.fail(Unavailable(f"unexpected: {error!r}"), len(self.flights))
            await asyncio.sleep(self._backoff())

    def push(self, item: Item) -> None:
        """Hear of a record that came to disk."""
        self.cursor.push(item)
        self._bookings.push(item)

    def book(self, fresh: Sequence[Fresh]) -> Booking | None:
        """Book the next round in the commit that brings these records to disk; None when nothing can be booked."""
        if self.state is not LaneState.READY:
            return None
        try:
            return self._bookings.draw(fresh)
        except Exception as error:  # a fault of ours holds back this topic only
            log.exception("lane.broken", topic=self.topic)
            self._bookings.fail(error)
            return None

    async def settle(self) -> None:
        """Write down what was acknowledged since the last commit. Raises `Unavailable`, and then keeps it."""
        await self._logbook.settle()

    async def _recover(self, permit: Permit) -> None:
        """Bring every flight that is not acknowledged to its end."""
        self._recovery.note_unsent(await self._end_bookings())
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
        """Send round after round. True when nothing is left, for long or to give way; False for a fresh producer."""
        self._known = await self._neighbours.kafka.topic(self.topic)
        producer = await self._neighbours.kafka.open_producer(self._known)
        opened = time.monotonic()
        try:
            while batches := await self._next(producer, permit):
                await self._send(producer, batches, self._hurried(permit))
                if producer.worn or (permit.wanted and time.monotonic() - opened > TURN):
                    if batches := await self._end_bookings():
                        await self._send(producer, batches, self._hurried(permit))
                    return False
            return True
        finally:
            self._recovery.note_unsent(self._bookings.close())
            await producer.kill()

    async def _next(self, producer: Producer, permit: Permit) -> Sequence[Batch]:
        """Give the round that is booked, else journal one of what waits; none when idle for long, or to give way.

        While a commit is under way the round's journal would wait for its end, so what that brings is taken as well.
        """
        idle_since = time.monotonic()
        while True:
            room = min(self._known.max_batch, ROUND_BYTES)
            self._bookings.open(producer, room)
            if not self._bookings.due:
                await self._neighbours.journals.rest()
            if booked := self._bookings.take():
                return booked
            with self._bookings.paused():  # or what is chosen here would be booked as well
                items = await self.cursor.peek(room)
                if chosen := fitting(items, self._known.max_batch):
                    return await self._journal(producer, chosen)
                if items:
                    await self._weigh(items[0])
                    continue
            if await self._idle(idle_since, permit):
                return await self._end_bookings()

    async def _idle(self, since: float, permit: Permit) -> bool:
        """Wait for a record, and settle when none comes soon; True when the lane has to leave without one."""
        self._trouble.heal()
        patience = self._neighbours.idle_timeout
        at_once = permit.wanted or self._logbook.buries  # who was told of a dead letter finds one
        if not at_once and await self.cursor.wait(min(LULL, patience)):
            return False
        await self._logbook.settle()
        if self._bookings.due:
            return False
        if permit.wanted or time.monotonic() - since >= patience:
            return True
        await self.cursor.wait(min(GIVE_WAY, patience))
        return False

    async def _end_bookings(self) -> Sequence[Batch]:
        """Book no more; give what was booked last and never sent, in a commit that may still be under way."""
        unsent = self._bookings.close()
        if self._logbook.busy:
            await self._neighbours.journals.rest()
            unsent = self._bookings.close()
        return unsent

    async def _weigh(self, item: Item) -> None:
        """Bury a record that is too large by what is known of the topic, unless that has changed."""
        known, self._known = self._known, await self._neighbours.kafka.topic(self.topic)
        if self._known.max_batch == known.max_batch:
            detail = f"topic {self.topic} takes {known.max_batch} bytes at most"
            self._logbook.bury(item, Reason.TOO_LARGE, detail)
            self.cursor.advance(item.number)

    async def _journal(self, producer: Producer, items: Sequence[Item]) -> Sequence[Batch]:
        """Journal one round, a batch for each partition."""
        batches = await self._logbook.write(self._logbook.plan(producer, items))
        self.cursor.advance(items[-1].number)
        return batches

    async def _send(self, producer: Producer, batches: Sequence[Batch], hurried: Hurried) -> None:
        """Send one round and note what was acknowledged; meanwhile the next records are read."""
        async with self.cursor.reading_on() if self.cursor.behind else nullcontext():
            outcomes = await producer.send({batch.partition: batch.records for batch in batches}, hurried)
            # Before the read is waited for: a disk that stalls must not hold up what Kafka has acknowledged.
            broken = None
            for batch in batches:
                outcome = outcomes[batch.partition]
                if isinstance(outcome, Acknowledged):
                    self._logbook.land(batch, outcome.base_offset)
                else:
                    broken = outcome
            if broken:
                raise KafkaUnavailable(broken.error)
            self._trouble.heal()

    def _hurried(self, permit: Permit) -> Hurried:
        """Say when an answer is waited for no longer: others wait, and it is late. Who has failed gets more time."""
        patience = min(PATIENCE_MAX, PATIENCE * 2 ** min(self._trouble.failures, 16))

        def hurried(waited: float, why: str) -> bool:
            if waited > LATE:
                self._trouble.delay(waited, why, len(self.flights))
            return waited > patience and permit.wanted

        return hurried

    def _backoff(self) -> float:
        """Give full jitter: lanes that failed together do not return together."""
        return random.uniform(0, min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._trouble.failures, 16)))  # noqa: S311 - no secret
