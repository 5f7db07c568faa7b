"""Where the tests of the configuration write their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a configuration file that a test may write."""
    return tmp_path / "relay.yaml"
