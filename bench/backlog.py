"""Backlog: a spool with pending deliveries, written by the relay's own parts before the relay starts on it."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING

from bench import deliveries
from relay.config import load
from relay.core.model import Status
from relay.core.pipeline import Pipeline
from relay.core.signature import authenticate
from relay.metrics import Metrics
from relay.spool import Entry, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from relay.config import Config
    from relay.spool import Appended

TOGETHER = 20_000  # deliveries in one commit


def write(config: Path, variables: Mapping[str, str], count: int) -> None:
    """Accept so many deliveries, as the relay does under this configuration, and publish none of them."""
    with redirect_stdout(sys.stderr):  # what the spool logs is no figure
        asyncio.run(_write(load(config, variables), count))


async def _write(config: Config, count: int) -> None:
    metrics = Metrics(sources=(), types=(), dropping=(), topics=(), version="")
    spool = Spool(
        config.spool.path,
        max_size=config.spool.max_size,
        retention=config.spool.retention,
        remembered=config.dedupe.ids,
        metrics=metrics,
    )
    async with spool:
        entries = _entries(config, count)
        while together := list(islice(entries, TOGETHER)):
            await asyncio.gather(*(spool.append(entry, _forget) for entry in together))
        if spool.pending != count:
            raise RuntimeError(f"{spool.pending} deliveries are pending instead of {count}")


def _entries(config: Config, count: int) -> Iterator[Entry]:
    (source,) = config.sources
    pipeline = Pipeline({source.name: source}, config.routes, config.envelope)
    for body in deliveries.bodies(count):
        signature = deliveries.sign(body)
        delivery = authenticate(
            source, [signature], body, algorithms=["HMACSHA256"], received_at=time.time(), traceparent=None
        )
        processed = pipeline.process(delivery)
        yield Entry(
            delivery=delivery,
            event_id=processed.event.id,
            type=processed.event.type,
            dedupe_id=processed.dedupe_id,
            fingerprint=processed.fingerprint,
            status=Status.PENDING,
            topics=tuple(record.topic for record in processed.records),
        )


def _forget(_: Appended) -> None:
    """Hand on nothing: no lane runs here."""
