"""Outcome: a delivery that came to its end on disk is counted and told, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Reason
from relay.core.model import Status

if TYPE_CHECKING:
    from relay.lane import Committed
    from relay.metrics import Metrics
    from relay.spool import Done

log = structlog.get_logger()


def duration_ms(received_at: float, arrived: float | None) -> float:
    """Give the milliseconds since a delivery came: by the monotonic clock when this process took it in.

    Of another process only the time of day is known, which may have been set back since: then at least 0.
    """
    seconds = max(0.0, time.time() - received_at) if arrived is None else time.monotonic() - arrived
    return round(seconds * 1000, 3)


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
