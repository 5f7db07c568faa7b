"""A folder that may not be written: a sentence at start."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.cli.typed import relay
from tests.running import Running, settings
from tests.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_may_not_be_written_is_named_at_start(tmp_path: Path) -> None:
    """The relay ends with a sentence that names the spool and why, and no traceback."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        running = Running(tmp_path, settings("127.0.0.1:1", disk, "read.only"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=30)
        ended = relay("run", "-c", str(running.config))
    assert ended.returncode == 70
    assert f"{disk}/spool.db" in ended.stderr
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr
