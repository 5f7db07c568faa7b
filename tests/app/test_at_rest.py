"""A spool that is changed while no relay runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.app.at_rest import at_rest
from tests.config.small import read

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_ballast_stays(tmp_path: Path) -> None:
    """The room that the relay keeps for itself is not given to others by a verb."""
    config = read(tmp_path / "relay.yaml", f"spool: {{path: {tmp_path}/spool.db, ballast: 2MiB}}\n")
    ballast = tmp_path / "spool.db.ballast"
    for _ in range(2):
        async with at_rest(config):
            assert ballast.stat().st_size == 2 << 20
        assert ballast.stat().st_size == 2 << 20
