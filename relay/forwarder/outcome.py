"""Outcome: a delivery that came to its end on disk is counted and told, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Reason
from relay.core.model import Status
from relay.spool import Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.lane import Committed, Item
    from relay.metrics import Metrics

log = structlog.get_logger()


def duration_ms(received_at: float, arrived: float | None) -> float:
    """Give the milliseconds since a delivery came: by the monotonic clock when this process took it in.

    Of another process only the time of day is known, which may have been set back since: then at least 0.
    """
    seconds = max(0.0, time.time() - received_at) if arrived is None else time.monotonic() - arrived
    return round(seconds * 1000, 3)


def unheard(dones: Sequence[Done], items: Sequence[Item]) -> list[Done]:
    """Give the ends of what was settled that the commit did not tell: an earlier one brought them.

    That is one that was told as failed, and stands on the disk all the same. Only of what this process has seen
    settled in all its topics is that known; the rest may still be pending.
    """
    told = {done.number for done in dones}
    stood = {
        number: committed
        for number, committed, topic in ((item.number, item.committed, item.record.topic) for item in items)
        if number not in told and not committed.settled and committed.settle(topic)
    }
    return [Done(number, one.status, one.reason, one.places) for number, one in stood.items()]


def tell(metrics: Metrics, done: Done, committed: Committed) -> None:
    """Count a delivery as published, dropped or dead, and write its line: where its records are, what was answered."""
    fields = {
        "source": committed.source,
        "delivery": done.number,
        "id": committed.event_id,
        "type": committed.type,
        "routes": committed.routes,
        "records": done.records,
        "answered": committed.answered,
        "duration_ms": duration_ms(committed.received_at, committed.arrived),
    }
    if done.status is Status.PUBLISHED:
        metrics.published(committed.source, committed.type)
        log.info("delivery.published", **fields)
    elif done.status is Status.DROPPED:
        metrics.dropped(committed.source, committed.routes[-1])
        log.info("delivery.dropped", **fields)
    else:
        metrics.dead(committed.source, done.reason or Reason.REFUSED)
        log.warning("delivery.dead", reason=done.reason, **fields)
