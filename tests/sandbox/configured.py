"""A user's configuration, in a file, for what is drilled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.running import settings

if TYPE_CHECKING:
    from pathlib import Path


def configured(folder: Path, bootstrap: str, **sections: object) -> Path:
    """Write a user's configuration."""
    path = folder / "relay.yaml"
    path.write_text(json.dumps(settings(bootstrap, folder, "users.{type}", **sections)))
    return path
