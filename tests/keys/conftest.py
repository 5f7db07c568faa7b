"""Keys of one source in service, before a simulated Syskit Point."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.config import Config, FetchKey
from relay.config.model import Ack, Admin, Dedupe, Kafka, Listen, Log, Stop
from relay.config.model import Spool as SpoolConfig
from relay.core.errors import Rejected
from relay.core.model import Envelope, Key, Signs, Source
from relay.core.signature import authenticate, fingerprint, sign
from relay.keys import Keys
from relay.metrics import Metrics
from relay.sandbox.simulated import SimulatedPoint
from tests.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
    from pathlib import Path

    from relay.keys.keyring import Keyring

NAME = "contoso"
BODY = b'{"type": "ProvisioningStarted"}'


@dataclass
class Service:
    """The keys, and a door that works as that of `Ingest`."""

    keys: Keys
    metrics: Metrics

    @property
    def ring(self) -> Keyring:
        """The one source's."""
        return self.keys.rings[NAME]

    async def receive(self, secret: str) -> str:
        """Let one delivery in that a key has signed, and give that key's fingerprint. Raises what `Ingest` does."""
        signature = sign(secret.encode(), BODY)
        try:
            return self._authenticate(self.ring.source, signature)
        except Rejected as rejected:
            return self._authenticate(await self.ring.renewed(self.ring.source, rejected, len(BODY)), signature)

    def _authenticate(self, source: Source, signature: str) -> str:
        delivery = authenticate(source, [signature], BODY, algorithms=(), received_at=time.time(), traceparent=None)
        self.ring.used[delivery.key_id] = delivery.received_at
        return delivery.key_id


def config_of(folder: Path, simulated: SimulatedPoint, fetch_key: FetchKey | None, keys: Sequence[str] = ()) -> Config:
    """Give a configuration of one source."""
    known = tuple(Key(fingerprint(key.encode()), key.encode()) for key in keys)
    source = Source(NAME, "/webhooks/contoso", "urn:contoso", known, Signs.BODY, UTC)
    return Config(
        Listen(), Admin(), (source,), Kafka(("127.0.0.1:1",)), Envelope(), (), Ack(), Stop(), Log(), Dedupe(),
        SpoolConfig(path=folder / "spool.db"), points={NAME: simulated.config(fetch_key=fetch_key)},
    )  # fmt: skip


@asynccontextmanager
async def serving(
    folder: Path, simulated: SimulatedPoint, fetch_key: FetchKey | None = None, keys: Sequence[str] = ()
) -> AsyncIterator[Service]:
    """Serve keys as a relay does, from start to stop."""
    metrics = Metrics(sources=(NAME,), types=(), dropping=(), topics=(), version="1")
    service = Service(Keys(config_of(folder, simulated, fetch_key, keys), metrics), metrics)
    service.keys.open()
    running = asyncio.create_task(service.keys.run())
    try:
        yield service
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen from outside
            await asyncio.sleep(0.005)


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right."""
    async with SimulatedPoint() as simulated:
        yield simulated


@pytest.fixture(name="log")
def fixture_log() -> Iterator[list[MutableMapping[str, object]]]:
    """Give what is logged."""
    with capture_logs() as told:
        yield told
