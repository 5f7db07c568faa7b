"""Mirroring: dead letters on their way into a topic of their own, each once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from relay.core.errors import Unavailable
from relay.core.model import Mirror, Status
from relay.spool import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.model import Delivery, Processed
    from relay.core.pipeline import Pipeline
    from relay.metrics import Metrics
    from relay.spool import Appended, Dead, Spool

log = structlog.get_logger()

LOOK_AGAIN = 1.0  # seconds


class Mirroring:
    """Appends an entry of its own for each dead letter that has none, which the lanes publish as any other.

    The spool ties the two in one commit, so each is mirrored once, whenever it died and whatever was killed; also
    those that were dead before the topic was configured. A mirror that dies itself is not mirrored.
    """

    def __init__(
        self,
        topic: str,
        spool: Spool,
        pipeline: Pipeline,
        take_in: Callable[[int, Delivery, Processed], None],
        metrics: Metrics,
    ) -> None:
        """Mirror the dead letters of `spool` into `topic`; `take_in` hears of each entry, in order."""
        self._topic = topic
        self._spool = spool
        self._pipeline = pipeline
        self._take_in = take_in
        self._metrics = metrics

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self._go_through()
            except Unavailable as error:
                log.warning("mirror.waiting", topic=self._topic, error=str(error))
            await asyncio.sleep(LOOK_AGAIN)

    async def _go_through(self) -> None:
        """Mirror all that is not; those of a source that is not configured wait until it is."""
        after, sources = 0, list(self._pipeline.sources)
        while page := await self._spool.unmirrored(after, sources):
            after = page[-1].number
            await asyncio.gather(*map(self._append, page))

    async def _append(self, dead: Dead) -> None:
        mirror = Mirror(dead.number, self._topic, dead.reason, dead.detail)
        delivery = replace(dead.delivery, received_at=time.time())
        processed = self._pipeline.copy(delivery, mirror)

        def on_disk(appended: Appended) -> None:
            self._metrics.mirrored(delivery.source)
            log.info("delivery.mirrored", source=delivery.source, delivery=appended.number, mirror_of=dead.number)
            self._take_in(appended.number, delivery, processed)

        entry = Entry(
            delivery=delivery,
            event_id=processed.event.id,
            type=processed.event.type,
            dedupe_id=processed.dedupe_id,
            fingerprint=processed.fingerprint,
            status=Status.PENDING,
            topics=(self._topic,),
            copy=mirror,
        )
        await self._spool.append(entry, on_disk)
