"""How often a request is sent, and with which pauses between."""

from __future__ import annotations

import pytest

from relay.point import Point, PointError, wire
from relay.sandbox import faults
from relay.sandbox.simulated import Part, SimulatedPoint


async def test_pauses_between_attempts_have_full_jitter(
    simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is drawn from nothing to twice as much as the one before, and waited for; the last has none."""
    drawn: list[tuple[float, float]] = []
    waited: list[float] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    async def at_once(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("relay.point.wire.random.uniform", uniform)
    monkeypatch.setattr(wire, "asyncio", type("Asyncio", (), {"sleep": staticmethod(at_once)}))
    simulated.switch(Part.OPTIONS, faults.status(503))
    async with Point(simulated.config()) as point:
        with pytest.raises(PointError, match="503"):
            await point.signature_key()
    assert drawn == [(0, 0.25), (0, 0.5)]
    assert waited == [0.25, 0.5]
