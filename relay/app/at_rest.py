"""A spool at rest: changed while no relay runs on it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from relay import __version__
from relay.changes import Changes
from relay.core.pipeline import Pipeline
from relay.metrics import Metrics
from relay.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.config import Config


@asynccontextmanager
async def at_rest(config: Config) -> AsyncIterator[Changes]:
    """Have the spool to ourselves, and change it; what is replayed is published by the next relay that starts.

    Raises `InUse` when a relay runs, else `Unavailable`.
    """
    pipeline = Pipeline({source.name: source for source in config.sources}, config.routes, config.envelope)
    names = [source.name for source in config.sources]
    metrics = Metrics(sources=names, types=(), dropping=(), topics=(), version=__version__)
    spool = Spool(
        config.spool.path,
        max_size=config.spool.max_size,
        retention=config.spool.retention,
        remembered=config.dedupe.ids,
        metrics=metrics,
        ballast=config.spool.ballast,
    )
    async with spool:
        yield Changes(config.spool.path, pipeline, spool, None, metrics)
