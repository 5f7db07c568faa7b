"""What bad input does to the registration: every fault of the API is told, the relay goes on, and mends once it can."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.config import Register
from relay.health import State
from relay.metrics import Metrics
from relay.point import Point
from relay.registration import Registrar, registrar
from relay.sandbox import faults
from relay.sandbox.simulated import Part, SimulatedPoint
from tests.keys.conftest import until
from tests.point.test_bad_input import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

URL = "https://relay.contoso.com/webhooks/contoso?code=hunter2"
LOOKED_AT = [(part, row) for part, row in ROWS if part in {Part.LIST, Part.REGISTER, Part.TOKEN}]


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right and nothing registered."""
    async with SimulatedPoint() as simulated:
        yield simulated


@pytest.fixture(name="impatient", autouse=True)
def fixture_impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let requests end soon and the registrar wait a hundredth of what it would; give what it would."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def shortly(seconds: float) -> None:
        waits.append(seconds)
        await sleep(seconds / 100)

    monkeypatch.setattr(registrar, "Point", partial(Point, timeout=0.5))
    monkeypatch.setattr(registrar, "asyncio", type("Asyncio", (), {"sleep": staticmethod(shortly)}))
    return waits


def looking_after(simulated: SimulatedPoint, every: float = 3600.0) -> Registrar:
    """Give a registrar that has not begun."""
    register = Register(URL, ("*",), every)
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    return Registrar("contoso", simulated.config(register=register), register, metrics)


def failed(log: list[MutableMapping[str, object]]) -> list[MutableMapping[str, object]]:
    """Give the lines of its failures."""
    return [line for line in log if line["event"] == "registration.failed"]


@pytest.mark.parametrize(("part", "row"), LOOKED_AT, ids=[f"{part}: {row.name}" for part, row in LOOKED_AT])
async def test_the_registrar_goes_on_and_mends(
    simulated: SimulatedPoint, impatient: list[float], part: Part, row: Row
) -> None:
    """An error in the log with what to do, and a failed row; a pause as long as is told; and then it is registered."""
    simulated.switch(part, row.fault)
    one = looking_after(simulated)
    with capture_logs() as log:
        running = asyncio.create_task(one.run())
        try:
            await until(lambda: failed(log))
            assert (one.check.state, one.check.stops) == (State.FAIL, False)
            assert row.said in one.check.detail
            assert not simulated.endpoints
            simulated.heal()
            await until(lambda: one.check.state is State.OK)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert simulated.endpoints == {URL: ("*",)}
    assert simulated.led == 0
    assert row.said in str(failed(log)[0]["error"])
    told = [line["again_in"] for line in failed(log)]
    assert told == [round(wait, 1) for wait in impatient[: len(told)]]
    assert all(wait >= 1.0 for wait in impatient)
    for secret in (simulated.authority.secret, "hunter2", "Bearer"):
        assert secret not in str(log)


async def test_it_waits_ever_longer(
    simulated: SimulatedPoint, impatient: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure in a row doubles the pause, up to the interval; then it is the interval; and it begins anew."""
    monkeypatch.setattr("relay.registration.registrar.random.random", lambda: 1.0)
    simulated.switch(Part.LIST, faults.status(403))
    with capture_logs() as log:
        one = looking_after(simulated, every=10.0)
        running = asyncio.create_task(one.run())
        await until(lambda: len(impatient) == 5)
        simulated.heal()
        await until(lambda: one.check.state is State.OK)
        simulated.switch(Part.LIST, faults.status(403), times=1)
        await until(lambda: impatient[-1] == 2.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [line["again_in"] for line in failed(log)][:5] == [2.0, 4.0, 8.0, 10.0, 10.0]


async def test_it_waits_as_long_as_it_is_asked_to(simulated: SimulatedPoint, impatient: list[float]) -> None:
    """A Retry-After is waited for, and told."""
    simulated.switch(Part.LIST, faults.status(429, retry_after="120"))
    with capture_logs() as log:
        running = asyncio.create_task(looking_after(simulated).run())
        await until(lambda: impatient)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (failed(log)[0]["again_in"], round(impatient[0], 1)) == (120.0, 120.0)
