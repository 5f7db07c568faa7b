"""A small filesystem of its own under a folder, and somebody who fills it."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEP = 4096


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a filesystem of `size` bytes on a folder; skips the test where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if mounted.returncode:
        pytest.skip(f"no filesystem can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=30)


def crowd(folder: Path) -> Path:
    """Fill the disk to its last byte, as others do; gives the file to remove."""
    hog = folder / "hog"
    with hog.open("ab", buffering=0) as file:
        while True:
            try:
                file.write(bytes(STEP))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return hog
