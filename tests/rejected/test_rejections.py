"""Which of the refused requests are taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from relay.metrics import Metrics
from relay.rejected import Rejections
from tests.core.samples import SOURCE

if TYPE_CHECKING:
    import pytest


async def test_of_a_flood_one_a_second_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten at once, then one a second, of each source; and of what no source has the path of."""
    clock = SimpleNamespace(now=5.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("relay.rejected.rejections.time", clock)
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    rejections = Rejections(lambda: [SOURCE], metrics, keep_bodies=False)
    assert sum(rejections.wants("contoso") for _ in range(1000)) == 10
    assert sum(rejections.wants(None) for _ in range(1000)) == 10
    clock.now = 7.0
    assert sum(rejections.wants("contoso") for _ in range(1000)) == 2
    await rejections.close()
