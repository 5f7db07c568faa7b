"""What the tests of the spool ask for: a place for a file, and metrics that count its commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a spool that does not exist yet."""
    return tmp_path / "spool.db"


@pytest.fixture
def metrics() -> Metrics:
    """Give the metrics of a small relay."""
    return Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
