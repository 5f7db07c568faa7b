"""A few faults on three brokers, each struck once; `make faults` strikes all of them, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.episode import FAULTS, Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT = (
    "relay killed",
    "relay and broker killed",
    "all brokers frozen",
    "answers withheld",
    "connections reset",
    "topic deleted and made again",
    "message too large",
    "writing forbidden and allowed",
    "fsync fails once",
)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Give three brokers."""
    with Ground() as started:
        yield started


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_doubled_or_out_of_order(ground: Ground, name: str) -> None:
    """What was acknowledged is read once and in order by who reads all along; nothing else is."""
    found = ground.play(FAULTS[name], seed=1, strikes=1)
    assert found.clean, found
    assert found.deliveries > 100
