"""A simulated Syskit Point, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.point import Point
from relay.sandbox.simulated import SimulatedPoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right."""
    async with SimulatedPoint() as simulated:
        yield simulated


@pytest.fixture(name="point")
async def fixture_point(simulated: SimulatedPoint) -> AsyncIterator[Point]:
    """Give a client of it that is patient."""
    async with Point(simulated.config()) as point:
        yield point
