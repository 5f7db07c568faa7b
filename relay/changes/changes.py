"""Changes: replays and discards, done."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from relay.changes.asked import Change, Discarding, Replaying, mark_of
from relay.changes.plan import plans
from relay.core.errors import Unavailable
from relay.core.model import Withdrawal
from relay.core.routing import legal_topic
from relay.kafka import KafkaUnavailable, TopicMissing
from relay.spool import Discard, Journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from relay.changes.asked import Asked
    from relay.changes.plan import Plan
    from relay.core.model import Delivery, Processed
    from relay.core.pipeline import Pipeline
    from relay.metrics import Metrics
    from relay.spool import Appended, Spool

log = structlog.get_logger()

STOPPING = "the relay is stopping"


class Changes:
    """Replays and discards deliveries. What is told as done is on disk; every method raises `Unavailable`."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it works with
        self,
        path: Path,
        pipeline: Pipeline,
        spool: Spool,
        take_in: Callable[[int, Delivery, Processed], None] | None,
        metrics: Metrics,
        find_topic: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        """Change the spool at `path`, by the rules of `pipeline`; `take_in` hears of each replay, in order.

        That is None where no relay runs on the spool. `find_topic` raises `TopicMissing` for one that does not exist;
        None where that is no fault, or not to be told. Once `closed`, nothing is changed any more.
        """
        self._path = path
        self._pipeline = pipeline
        self._spool = spool
        self._take_in = take_in
        self._metrics = metrics
        self._find_topic = find_topic
        self._turn = asyncio.Lock()
        self._untold: set[int] = set()  # dead letters whose discard was told as failed, and may stand
        self.closed = False

    async def make(self, asked: Asked) -> Sequence[Change]:
        """Do what is asked for, in the order in which the deliveries are named, and say what was done.

        Changes take turns, and each is made a bounded piece at a time: what it holds in memory is so much and no more.
        A replay is a new entry at the end of all. A discarded dead letter counts as dropped from then on, and keeps
        its reason.
        """
        if self.closed:
            raise Unavailable(STOPPING)
        self._check_spool(asked)
        await self._check_topic(asked)
        left, changes = tuple(dict.fromkeys(asked.deliveries)), list[Change]()
        look = partial(plans, spool=self._path, pipeline=self._pipeline, at_rest=self._take_in is None)
        async with self._turn:  # or the plans of all who ask would be held together, and each be of before the others
            while left:
                looked_at = await asyncio.to_thread(look, replace(asked, deliveries=left))
                if self.closed:  # meanwhile, and the spool with it
                    return [*changes, *(Change(number, refused=STOPPING) for number in left)]
                changes += await self._do(asked, looked_at)
                left = left[len(looked_at) :]
        return changes

    async def _do(self, asked: Asked, looked_at: Sequence[Plan]) -> Sequence[Change]:
        if asked.dry_run:
            return [plan.change for plan in looked_at]
        if isinstance(asked, Discarding):
            return await self._discard(looked_at, asked.because)
        return await asyncio.gather(*map(self._append, looked_at))

    def _check_spool(self, asked: Asked) -> None:
        try:
            mark = mark_of(self._path)
        except OSError as error:
            msg = f"the spool {self._path} cannot be read: {error.strerror}"
            raise Unavailable(msg) from error
        if asked.spool not in {None, mark}:
            raise Unavailable(f"the relay that answers has another spool, {self._path}")

    async def _check_topic(self, asked: Asked) -> None:
        """Refuse a topic that is not there, as a replay would wait for it for ever. Without Kafka nobody knows."""
        topic = asked.topic if isinstance(asked, Replaying) else None
        if self._find_topic and topic is not None and legal_topic(topic):
            try:
                await self._find_topic(topic)
            except TopicMissing:
                raise
            except KafkaUnavailable:
                return

    async def _discard(self, looked_at: Sequence[Plan], because: str) -> list[Change]:
        """Give dead letters and replays up, in one commit."""
        possible = [plan for plan in looked_at if not plan.change.refused and not plan.stands]
        stood = {plan.change.delivery for plan in looked_at if plan.stands}
        dead, done = stood & self._untold, set[int]()
        if possible:
            wanted = tuple(Discard(plan.change.delivery, because, plan.waits) for plan in possible)
            asked_for = {plan.change.delivery for plan in possible if not plan.waits}
            self._untold |= asked_for
            journalled = await self._spool.write(Journal(discards=wanted))
            self._untold -= asked_for
            dead |= set(journalled.discarded)
            done = {one.number for one in journalled.done}
        self._untold -= stood
        changes = []
        for change, source in ((plan.change, plan.source) for plan in looked_at):
            if change.delivery in dead | done and source:
                if change.delivery in dead:
                    self._metrics.withdrawn(source, Withdrawal.DISCARDED)
                log.info("delivery.discarded", source=source, delivery=change.delivery, because=because)
            elif not change.refused and change.delivery not in stood:
                changes.append(replace(change, refused="it is no dead letter any more"))
                continue
            changes.append(change)
        return changes

    async def _append(self, plan: Plan) -> Change:
        change, entry, processed = plan.change, plan.entry, plan.processed
        if entry is None or processed is None or plan.source is None:
            return change
        source = plan.source

        def on_disk(appended: Appended) -> None:
            self._metrics.replayed(source)
            if appended.withdrew:
                self._metrics.withdrawn(source, Withdrawal.REPLAYED)
            log.info(
                "delivery.replayed",
                source=source,
                delivery=appended.number,
                replay_of=change.delivery,
                id=entry.event_id,
                topics=change.topics,
            )
            if self._take_in:
                self._take_in(appended.number, entry.delivery, processed)

        try:
            appended = await self._spool.append(entry, on_disk)
        except Unavailable as error:
            return replace(change, refused=str(error))
        if appended.duplicate:
            return replace(change, refused=f"it was replayed already, as delivery {appended.number}")
        return replace(change, replay=appended.number)
