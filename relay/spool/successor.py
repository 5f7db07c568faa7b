"""Successor: the new file that takes the place of a damaged one, so that a kill at any moment leaves one of them."""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Successor:
    """Is written as `draft`, is ready once it is whole, and then takes the place. Each step raises OSError.

    The file it succeeds, and its log, cannot be set aside in one step. Meanwhile nothing bears the spool's name, and
    the one that is ready is all there is: whoever opens the spool next must let it take the place first.
    """

    def __init__(self, path: Path) -> None:
        """Name the spool's file."""
        self._path = path
        self.draft = path.with_name(path.name + ".salvage")
        self._ready = path.with_name(path.name + ".salvaged")

    @property
    def is_ready(self) -> bool:
        """Tell whether one is ready."""
        return self._ready.exists()

    def begin(self) -> None:
        """Remove what an earlier one has left of its draft."""
        for file in _files(self.draft):
            file.unlink(missing_ok=True)

    def be_ready(self) -> None:
        """Note, on disk, that the draft is whole; it is closed."""
        self.draft.replace(self._ready)
        _sync(self._path.parent)

    def take_place(self) -> Path | None:
        """Take the place of what bears the spool's name; give the name under which that is set aside, if any."""
        aside = self._set_aside()
        self._ready.replace(self._path)
        _sync(self._path.parent)
        return aside

    def _set_aside(self) -> Path | None:
        first = name = f"{self._path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        others = count(2)
        while any(file.exists() for file in _files(self._path.with_name(name))):
            name = f"{first}-{next(others)}"  # what was set aside in this very second stays
        found = None
        for file, kept in zip(_files(self._path), _files(self._path.with_name(name)), strict=True):
            if file.exists():
                file.rename(kept)
                found = found or kept
        return found


def _files(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm"))


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
