"""What bad input leaves of the keys: every fault of the API is told, and the keys of before stay in service."""

from __future__ import annotations

import asyncio
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.config import FetchKey
from relay.core.errors import Unavailable
from relay.core.model import Signs, Source
from relay.keys import keyring
from relay.keys.keyring import Keyring
from relay.keys.ring import Ring
from relay.metrics import Metrics
from relay.point import Point
from relay.sandbox.simulated import Part, SimulatedPoint
from tests.point.test_bad_input import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY_ROWS = [(part, row) for part, row in ROWS if part in {Part.OPTIONS, Part.TOKEN}]


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right."""
    async with SimulatedPoint() as simulated:
        yield simulated


async def unsaved() -> None:
    """Write nothing down."""


@pytest.mark.parametrize(("part", "row"), KEY_ROWS, ids=[f"{part}: {row.name}" for part, row in KEY_ROWS])
async def test_the_old_key_stays_in_service(
    simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch, part: Part, row: Row
) -> None:
    """A fetch that fails is an error in the log with what to do and a pause, never an empty ring, and passes."""
    monkeypatch.setattr(keyring, "Point", partial(Point, timeout=0.5))
    source = Source("contoso", "/hooks", "urn:contoso", (), Signs.BODY, UTC)
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    ring = Keyring(source, simulated.config(fetch_key=FetchKey()), Ring(), metrics, unsaved)
    running = asyncio.create_task(ring.run())
    try:
        await ring.fetch()
        before = ring.source.keys
        assert [key.secret for key in before] == [simulated.key.encode()]
        simulated.authority.revoke()
        new = simulated.rotate()
        simulated.switch(part, row.fault)
        with capture_logs() as logs, pytest.raises(Unavailable):
            await ring.fetch()
        assert ring.source.keys == before
        (line,) = [line for line in logs if line["event"] == "key.unfetched"]
        assert row.said in line["error"]
        assert line["again_in"] > 0
        for secret in (simulated.authority.secret, new, before[0].secret.decode()):
            assert secret not in str(logs)
        simulated.heal()
        await ring.fetch()
        assert {key.secret for key in ring.source.keys} == {before[0].secret, new.encode()}
    finally:
        running.cancel()
        await asyncio.wait([running])
