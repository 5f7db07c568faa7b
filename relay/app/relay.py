"""Relay: the composition root. It builds the parts, runs them, and stops them in the right order."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from relay import __version__
from relay.admin import Admin
from relay.app.report import Report
from relay.changes import Changes
from relay.core.errors import Unavailable
from relay.core.model import Signs
from relay.core.pipeline import Pipeline
from relay.forwarder import Forwarder, Mirroring, Topics
from relay.ingest import Ingest
from relay.kafka import Cluster
from relay.keys import Keys
from relay.metrics import Metrics
from relay.registration import Registrar
from relay.rejected import PAGE, Rejections
from relay.server import Listener
from relay.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from typing import Self

    from relay.config import Admin as AdminConfig
    from relay.config import Config, Listen

log = structlog.get_logger()

DOCUMENTED_TYPES = ("ProvisioningStarted", "ProvisioningCompleted", "ProvisioningFailed")
"""The types Syskit Point documents; the others share the label `other` in metrics."""


class Relay:
    """Everything a running relay is made of, under one TaskGroup."""

    def __init__(self, config: Config, cluster: Cluster | None = None) -> None:
        """Build every part; nothing is opened yet. Raises OSError for unusable certificates.

        `cluster` takes the place of the one that `config` describes; the relay closes it.
        """
        self._config = config
        literal = (template.literal for route in config.routes for template in route.topics)
        names = tuple(dict.fromkeys(name for name in (*literal, config.dead_letters.topic) if name))
        pipeline = Pipeline({source.name: source for source in config.sources}, config.routes, config.envelope)
        self.metrics = _metrics(config, names)
        self.spool = Spool(
            config.spool.path,
            max_size=config.spool.max_size,
            retention=config.spool.retention,
            remembered=config.dedupe.ids,
            metrics=self.metrics,
            ballast=config.spool.ballast,
        )
        self._cluster = cluster or Cluster(config.kafka)
        self.forwarder = Forwarder(config, pipeline, self.spool, self._cluster, self.metrics)
        topics = Topics(names, self._cluster)
        self._keys = Keys(config, self.metrics)
        ingest = Ingest(config, pipeline, self.spool, self.forwarder, self._keys, self.metrics)
        self._rejections = Rejections(self._keys.sources, self.metrics, keep_bodies=config.rejected.keep_bodies)
        self.listener = Listener(config.listen, config.sources, ingest, self.metrics, self._rejections)
        self._registrars = _registrars(config, self.metrics)
        report = Report(
            config, self.spool, self.forwarder, topics, self.listener, self._keys, self._registrars, self.metrics
        )
        self.metrics.observe_gauges(report.gauges)
        # What would be made is not asked for: it is made when something is published there.
        find = None if config.kafka.topics.create else self._cluster.topic
        self._changes = Changes(config.spool.path, pipeline, self.spool, self.forwarder.add, self.metrics, find)
        guarded = {PAGE: self._rejections.show}
        self.admin = Admin(config.admin, report.checks, self.metrics, self._changes.make, self._keys.answer, guarded)
        self._topics = topics
        mirror = config.dead_letters.topic
        self._mirroring = Mirroring(mirror, self.spool, pipeline, self.forwarder.add, self.metrics) if mirror else None
        self._hurry = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Open the spool, the lanes, and the listeners, the sender's last; on leaving, stop.

        Raises `Unavailable` when the spool or an address cannot be used, in an ExceptionGroup, as is
        what a part ended with that nobody expected.
        """
        try:
            async with self.spool, asyncio.TaskGroup() as tasks:
                self._keys.open()
                aside = [tasks.create_task(each.run()) for each in (self._topics, self._keys)]
                try:
                    await self.forwarder.start(tasks)
                    if self._mirroring:  # not before: its mirrors open lanes, which may have flights to take over first
                        aside.append(tasks.create_task(self._mirroring.run()))
                    await _bind("admin", self._config.admin, self.admin.start())
                    await _bind("listen", self._config.listen, self.listener.start())
                    aside += [tasks.create_task(each.run()) for each in self._registrars]
                    self._announce()
                    yield self
                    await self._drain()
                finally:
                    for task in aside:
                        task.cancel()
                    await self._close()
        finally:
            await self.admin.stop()
        log.info("relay.stopped", pending=self.spool.pending)

    def hurry(self) -> None:
        """Make a stop leave at once; what is on disk waits there for the next start."""
        self._hurry.set()

    async def _drain(self) -> None:
        """Not ready; no new connections; answer what is in flight; publish for a bounded time."""
        self._changes.closed = True
        deadline = time.monotonic() + self._config.stop.timeout
        log.info("relay.draining", pending=self.spool.pending)
        await self._unless_hurried(self.listener.drain(self._config.stop.timeout))
        await self.listener.stop()
        await self._unless_hurried(self.forwarder.drain(max(0.0, deadline - time.monotonic())))

    async def _close(self) -> None:
        """Close what is open, at once, whether it ever ran or not."""
        await self.listener.stop()
        await self._rejections.close()
        await self.forwarder.stop()
        await self._cluster.close()

    async def _unless_hurried(self, work: Coroutine[None, None, None]) -> None:
        hurried = asyncio.ensure_future(self._hurry.wait())
        working = asyncio.ensure_future(work)
        await asyncio.wait({hurried, working}, return_when=asyncio.FIRST_COMPLETED)
        for task in (hurried, working):
            task.cancel()
        await asyncio.gather(hurried, working, return_exceptions=True)

    def _announce(self) -> None:
        for source in self._config.sources:
            if source.signs is Signs.CONTENT:
                log.warning("source.unauthenticated_fields", source=source.name, fields=["type", "id", "time"])
        if not self._config.kafka.idempotence:
            log.warning("relay.at_least_once", hint="kafka.idempotence is off: after a crash records may stand twice")
        log.info(
            "relay.started",
            version=__version__,
            port=self.listener.port,
            admin_port=self.admin.port,
            sources=[source.name for source in self._config.sources],
            routes=[route.name for route in self._config.routes],
            pending=self.spool.pending,
        )


def _registrars(config: Config, metrics: Metrics) -> tuple[Registrar, ...]:
    """Make one for each source that is to be registered."""
    points = config.points.items()
    return tuple(Registrar(name, point, point.register, metrics) for name, point in points if point.register)


def _metrics(config: Config, topics: Sequence[str]) -> Metrics:
    return Metrics(
        sources=[source.name for source in config.sources],
        types=DOCUMENTED_TYPES,
        dropping=[route.name for route in config.routes if route.drop],
        topics=topics,
        version=__version__,
    )


async def _bind(section: str, address: Listen | AdminConfig, start: Coroutine[None, None, None]) -> None:
    """Start a listener; say which setting to look at when its address cannot be had. Raises `Unavailable`."""
    try:
        await start
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        msg = f"{section}.host and {section}.port: {address.host} port {address.port} cannot be used: {why}"
        raise Unavailable(msg) from error
