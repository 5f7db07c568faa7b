"""Forwarder: the window of committed deliveries, and the lanes' lives."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable
from relay.forwarder import outcome
from relay.forwarder.backlog import Backlog
from relay.forwarder.booker import book
from relay.forwarder.cursor import Cursor
from relay.forwarder.patience import Patience
from relay.forwarder.tally import Tally
from relay.forwarder.verdicts import Verdicts
from relay.forwarder.window import Window
from relay.lane import Committed, Item, Lane, Neighbours, Permits
from relay.metrics import LaneState
from relay.spool import Damaged

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from relay.config import Config
    from relay.core.model import Delivery, Processed
    from relay.core.pipeline import Pipeline
    from relay.lane import Batch, Kafka
    from relay.metrics import Metrics
    from relay.spool import Done, Spool

log = structlog.get_logger()

WINDOW_BYTES = 16 << 20
RETRY = 1.0  # seconds before the spool is read again after it could not be


class Forwarder:
    """Sees to it that every committed delivery is published, each record once, in order of acceptance.

    Committed deliveries stand in one window; each topic has a lane, opened when it has something to
    publish and let go when it has been idle. At start everything pending is below the window: a
    survey reads it once, a piece at a time, to learn which lanes are needed, and the lanes read it
    for themselves. Used from one event loop.
    """

    def __init__(self, config: Config, pipeline: Pipeline, spool: Spool, kafka: Kafka, metrics: Metrics) -> None:
        """Prepare; `start` opens the first lanes."""
        self._spool, self._metrics = spool, metrics
        self._max_waiting, self._patience = config.listen.max_waiting, Patience(config.ack.timeout)
        self._backlog = Backlog(spool, pipeline, config.dead_letters.topic)
        self._verdicts = Verdicts(spool, self._finish)
        self._window = Window(WINDOW_BYTES)
        self.tally = Tally()
        self._neighbours = Neighbours(
            kafka=kafka,
            journals=spool,
            permits=Permits(config.kafka.max_producers),
            metrics=metrics,
            on_done=self._settle,
            producer_memory=config.kafka.producer_memory,
            idle_timeout=config.kafka.idle_timeout,
        )
        # The survey looks at what was pending at start, up to `_inherited`; it stands at `_surveyed`.
        self._inherited = self._surveyed = 0
        self._overtaken: set[tuple[int, str]] = set()  # what lanes settled ahead of it: numbers and topics
        self._settled, self._stopped = asyncio.Event(), False
        self._tasks: set[asyncio.Task[None]] = set()
        self._cursors: dict[str, Cursor] = {}
        self.lanes: dict[str, Lane] = {}
        spool.booker = lambda fresh: book(self.lanes, fresh)
        self.waiting = 0

    @property
    def orphans(self) -> Mapping[str, int]:
        """How many pending deliveries wait for a source that is no longer configured, by its name."""
        return self._backlog.orphans

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Open a lane for each topic with flights, and begin the survey, in `tasks`. Raises `Unavailable`."""
        self._group = tasks
        self._inherited = self._window.last = self._spool.last_number
        self._surveyed = 0 if self._spool.pending else self._inherited
        for topic, batches in (await self._flights()).items():
            self.tally.add(item.record for batch in batches for item in batch.items)
            self._open(topic, batches)
        self._spawn(self._survey())

    async def _flights(self) -> Mapping[str, Sequence[Batch]]:
        """Read what is in flight; once more when the spool was damaged, and has been made anew."""
        try:
            return await self._backlog.flights()
        except Damaged:
            await self._spool.mend()
            return await self._backlog.flights()

    def add(self, number: int, delivery: Delivery, processed: Processed, arrived: float | None = None) -> None:
        """Take in a delivery that has just come to disk, in order of acceptance; `arrived` by the monotonic clock.

        Once stopped, nothing is taken in: it is on disk, and the next start publishes it.
        """
        if self._stopped:
            return
        committed = Committed(
            number=number,
            source=delivery.source,
            event_id=processed.event.id,
            type=processed.event.type,
            routes=processed.routes,
            received_at=delivery.received_at,
            records=processed.records,
            topics=tuple(record.topic for record in processed.records),
            arrived=arrived,
        )
        for record in committed.records:
            if record.topic not in self._cursors:
                self._open(record.topic)  # before the window moves, or the lane would begin behind this very record
        for gone in self._window.add(committed):
            gone.release()
            for record in gone.records:
                if cursor := self._cursors.get(record.topic):
                    cursor.miss(gone)
        self.tally.add(committed.records)
        for record in committed.records:
            self.lanes[record.topic].push(Item(committed, record))

    def waiting_since(self, lane: Lane) -> float | None:
        """Tell when the oldest delivery came in that a lane has still to publish; None when there is none.

        Of a lane that is behind it is only known that it is no older than the oldest pending one of all.
        """
        for batch in lane.flights:
            for item in batch.items[:1]:
                return item.committed.received_at
        if lane.cursor.behind:
            return self._spool.pending_since
        waiting = self._cursors[lane.topic].first
        return waiting.committed.received_at if waiting else None

    def find(self, number: int) -> Committed | None:
        """Find a delivery in the window; the spool knows all others."""
        return self._window.find(number)

    async def wait(self, committed: Committed) -> None:
        """Wait until Kafka has acknowledged every record, as far as waiting makes sense.

        Not longer than `ack.timeout`; not at all when a lane concerned is in trouble, recovering or
        behind, nor when too many wait already: the delivery is on disk.
        """
        lanes = (self.lanes.get(record.topic) for record in committed.records)
        ready = all(lane is None or lane.state is LaneState.READY for lane in lanes)
        if committed.acknowledged or not ready or self.waiting >= self._max_waiting:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        committed.waiting.append(over)
        self._patience.bound(over)
        self.waiting += 1
        try:
            await over
        finally:
            self.waiting -= 1

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - leaves quietly when it is over
        """Go on publishing until nothing is pending that can be published, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._spool.pending > sum(self.orphans.values()):
                    self._settled.clear()
                    await self._settled.wait()

    async def stop(self) -> None:
        """End all lanes at once; what was acknowledged is settled, what is aloft is in the spool."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for lane in self.lanes.values():
            with suppress(Unavailable):
                await lane.settle()

    def _open(self, topic: str, flights: Sequence[Batch] = ()) -> Cursor:
        """Open a lane, behind where the survey stands while older records of its topic may be found."""
        if topic in self.lanes:
            raise AssertionError(f"the lane of {topic} is open: two would publish the same twice")
        behind = self._surveyed < self._inherited
        position = self._surveyed if behind else self._window.last
        cursor = self._cursors[topic] = Cursor(
            topic, self._window, self._backlog.read, position=position, behind=behind
        )
        lane = self.lanes[topic] = Lane(topic, cursor, self._neighbours, flights)
        log.info("lane.opened", topic=topic, flights=len(flights), behind=behind)
        self._spawn(self._live(lane, cursor))
        return cursor

    async def _live(self, lane: Lane, cursor: Cursor) -> None:
        """Let a lane run, until it is idle and nothing has come for it meanwhile."""
        while True:
            await lane.run()
            if cursor.idle:
                del self.lanes[lane.topic], self._cursors[lane.topic]
                self.tally.forget(lane.topic)
                log.info("lane.closed", topic=lane.topic)
                return

    async def _survey(self) -> None:
        """Look at each delivery that was pending at start, once: open its lanes, or give its verdict."""
        await self._spool.recall()  # beside this it takes three times as long, and commits search the file till then
        while self._surveyed < self._inherited:
            try:
                committed, verdicts, end = await self._backlog.survey(self._surveyed, self._inherited)
                await self._verdicts.give(verdicts)
            except Unavailable:
                await asyncio.sleep(RETRY)
                continue
            for one in committed:
                self.tally.add(record for record in one.records if (one.number, record.topic) not in self._overtaken)
            for topic in sorted({record.topic for one in committed for record in one.records} - self.lanes.keys()):
                self._open(topic)
            self._surveyed = end
        self._overtaken.clear()

    def _settle(self, dones: Sequence[Done], items: Sequence[Item]) -> None:
        """Hear of a lane's commit."""
        self.tally.take(item.record for item in items if self._tallied(item))
        self._finish([*dones, *outcome.unheard(dones, items)], {item.number: item.committed for item in items})

    def _tallied(self, item: Item) -> bool:
        """Tell whether a record was counted; one that the survey has yet to come to, or reads just now, never is."""
        surveyed = not self._surveyed < item.number <= self._inherited
        if surveyed or item.record.topic in self._backlog.in_flight(item.number):
            return True
        self._overtaken.add((item.number, item.record.topic))
        return False

    def _finish(self, dones: Sequence[Done], known: Mapping[int, Committed]) -> None:
        """Let go of the deliveries that came to their end on disk."""
        for done in dones:
            known[done.number].settled = True
            outcome.tell(self._metrics, done, known[done.number])
        self._window.trim()
        self._settled.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
