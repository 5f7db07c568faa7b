"""The demo: the relay at work on signed samples, with a Kafka inside or one that is there.

embedded        the Kafka inside            samples      what is posted, by sender
simulated       Syskit Point, and Entra ID  rotation     a new key under load, of workspaces
demo.yaml       the relay's configuration   subscriber   who reads the records
demonstration   a delivery after the other  screen       how all of it is shown
overheard       what the relay logs         failure      what ends it early
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay import config, logs
from relay.app import Relay
from relay.core.errors import Unavailable
from relay.health import ask_ready
from relay.sandbox.demonstration import Demonstration
from relay.sandbox.embedded import EmbeddedCluster, EmbeddedKafka
from relay.sandbox.failure import Failure
from relay.sandbox.overheard import Overheard
from relay.sandbox.ports import free_ports
from relay.sandbox.rotation import rotate_under_load
from relay.sandbox.screen import Screen
from relay.sandbox.simulated import SimulatedPoint
from relay.sandbox.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from relay.config import Config

CONFIG = Path(__file__).with_name("demo.yaml")
HOST = "127.0.0.1"
INTRODUCED_WITHIN = 10.0  # seconds
PREFIX = "relay-demo."  # of topics on a cluster that others use too


def show(*, once: bool, bootstrap: str | None, port: int) -> None:
    """Run the relay, post the samples, show what becomes of each; stay up until SIGINT or SIGTERM unless `once`.

    `bootstrap` is a cluster's HOST:PORT, None for an embedded one; `port` 0 is any free one. Exits
    with 1 and one sentence when something is not as it should be.
    """
    # Until the loop takes both signals over, SIGTERM ends the demo as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    overheard = Overheard(screen.warn)
    logs.configure("info", "json", overheard, {})
    try:
        with tempfile.TemporaryDirectory(prefix="relay-demo-") as folder:
            asyncio.run(Demo(screen, overheard, Path(folder), bootstrap, port).run(once=once))
    except Failure as failure:
        screen.warn(str(failure))
        sys.exit(1)
    except KeyboardInterrupt:
        return  # before the loop took the signals over, thus before anything ran


class Demo:
    """One run: what was asked for, what it is shown with, and where the spool stands while it lasts."""

    def __init__(self, screen: Screen, overheard: Overheard, folder: Path, bootstrap: str | None, port: int) -> None:
        """Show on `screen` what is done and what is `overheard`; `folder` is for the spool, the rest is of `show`."""
        self._screen = screen
        self._overheard = overheard
        self._spool = folder / "spool.db"
        self._bootstrap = bootstrap
        self._prefix = PREFIX if bootstrap is not None else ""
        self._port = port
        self._leaving = asyncio.Event()

    async def run(self, *, once: bool) -> None:
        """Do what `show` says. Raises `Failure`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._leaving.set)
        embedded = EmbeddedKafka() if self._bootstrap is None else None
        bootstrap = embedded.address if embedded else str(self._bootstrap)
        with Subscriber(bootstrap) as subscriber:
            if await self._unless_leaving(asyncio.to_thread(subscriber.find_cluster)):
                async with SimulatedPoint() as point:
                    settings = self._configure(bootstrap, point)
                    relay = Relay(settings, EmbeddedCluster(settings.kafka, embedded.create) if embedded else None)
                    async with _running(relay, settings.listen.port):
                        await self._unless_leaving(self._show(settings, relay, point, subscriber, once=once))

    def _configure(self, bootstrap: str, point: SimulatedPoint) -> Config:
        port = self._port or free_ports(1)[0]  # known beforehand, as it is part of what is registered
        variables = {
            "DEMO_KAFKA": bootstrap,
            "DEMO_POINT": point.url,
            "DEMO_SECRET": point.authority.secret,
            "DEMO_ENDPOINT": f"http://{HOST}:{port}/webhooks/contoso",
            "DEMO_PORT": str(port),
            "DEMO_PREFIX": self._prefix,
            "DEMO_SPOOL": str(self._spool),
        }
        try:
            return config.load(CONFIG, variables)
        except config.Faulty as faulty:
            raise Failure("; ".join(f"{fault.path} {fault.what}" for fault in faulty.faults)) from faulty

    async def _show(
        self, settings: Config, relay: Relay, point: SimulatedPoint, subscriber: Subscriber, *, once: bool
    ) -> None:
        (source,) = settings.sources
        url = f"http://{HOST}:{relay.listener.port}{source.path}"
        self._screen.opening(url, subscriber.bootstrap, embedded=self._bootstrap is None)
        await _introduced(relay, point, url)
        self._screen.introduced(point.url, point.endpoints[url], point.key_id)
        demonstration = Demonstration(
            source=point.signing(source),
            url=url,
            spool=self._spool,
            screen=self._screen,
            overheard=self._overheard,
            subscriber=subscriber,
        )
        await demonstration.run()
        self._screen.rotation(await rotate_under_load(point))
        if not once:
            health = f"http://{HOST}:{relay.admin.port}/readyz?verbose"
            demonstration.invite(point.signing(source), health, f"{self._prefix}syskit.ProvisioningCompleted")
            await self._leaving.wait()

    async def _unless_leaving(self, work: Coroutine[None, None, None]) -> bool:
        """Do the work to its end, or until a signal: then it is cancelled, and the answer is False."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._leaving.wait())
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})
        if not working.cancelled():
            working.result()
        return not self._leaving.is_set()


async def _introduced(relay: Relay, point: SimulatedPoint, url: str) -> None:
    """Wait until the relay has registered itself and has the key. Raises `Failure` when it does not come to that."""
    try:
        async with asyncio.timeout(INTRODUCED_WITHIN):
            while url not in point.endpoints or not await asyncio.to_thread(_ready, relay):  # noqa: ASYNC110 - as an operator asks
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Failure(f"the relay has not come to terms with the simulated Syskit Point at {point.url}") from None


def _ready(relay: Relay) -> bool:
    return ask_ready(HOST, relay.admin.port, INTRODUCED_WITHIN, as_json=False)[0]


@asynccontextmanager
async def _running(relay: Relay, port: int) -> AsyncIterator[None]:
    """Run the relay while the body lasts. What ends it early comes out alone, as a sentence where it can be one."""
    try:
        async with relay.running():
            yield
    except ExceptionGroup as group:
        match group.exceptions[0]:
            case Failure() | BrokenPipeError() as error:
                raise error from None
            case Unavailable(__cause__=OSError(errno=errno.EADDRINUSE)):
                taken = f"{HOST}:{port} is taken; choose another with --port, or leave it out for any free one"
                raise Failure(taken) from group
            case Unavailable() as error:
                raise Failure(str(error)) from group
            case _:
                raise
