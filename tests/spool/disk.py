"""Disk: SQLite's files as a crash leaves them, and a disk that refuses, at any step between two writes.

A VFS of SQLite's through which all connections of this process go while it is registered. Before each
write, sync, truncation and deletion it may keep what a lost process or lost power would leave behind,
or begin to refuse.
"""

from __future__ import annotations

import enum
import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "unix"
LOST = (".lock", "-shm")  # what is of no use to the next process
_names = itertools.count()


class Kind(enum.Enum):
    """What happens at a step."""

    KILL = enum.auto()
    """The process is lost: all that was written stays."""
    POWER = enum.auto()
    """The machine is lost: what was written and not synced goes."""
    REFUSAL = enum.auto()
    """This step and all behind it fail."""


@dataclass
class Moment:
    """The step, counted from 1, at which something happens; `left` is what a crash there left, by file name."""

    kind: Kind
    step: int
    left: dict[str, bytes] | None = None


class Disk(apsw.VFS):
    """The disk under one spool, in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Register as SQLite's default, until `unregister`."""
        self._name = f"disk-{next(_names)}"
        super().__init__(self._name, BASE, makedefault=True)
        self.folder = folder
        self._synced: dict[str, bytes] = {}
        self._moment: Moment | None = None
        self._steps = 0
        self.lock = threading.RLock()

    @contextmanager
    def at(self, moment: Moment | None) -> Iterator[None]:
        """Let something happen at a step of what is done in here; a crash behind the last step leaves what is there."""
        with self.lock:
            self._moment, self._steps = moment, 0
        yield
        with self.lock:
            self._moment = None
            if moment and moment.left is None and moment.kind is not Kind.REFUSAL:
                moment.left = self._crash(moment.kind)

    def replace(self, folder: Path, files: dict[str, bytes]) -> None:
        """Go on in another folder with what a crash left."""
        for name, content in files.items():
            (folder / name).write_bytes(content)
        with self.lock:
            self.folder, self._synced = folder, dict(files)

    def step(self) -> None:
        """Let happen what is due before the next write. Raises `apsw.IOError`."""
        moment = self._moment
        self._steps += 1
        if moment is None or self._steps < moment.step:
            return
        if moment.kind is Kind.REFUSAL:
            raise apsw.IOError("the disk refuses")
        if moment.left is None:
            moment.left = self._crash(moment.kind)

    def sync(self, file: Path) -> None:
        """Note what lost power leaves of a file from now on."""
        if file.exists():
            self._synced[file.name] = file.read_bytes()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file whose writes are steps."""
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        """Delete a file, which is a step."""
        with self.lock:
            self.step()
            super().xDelete(name, syncdir)
            self._synced.pop(Path(name).name, None)

    def _crash(self, kind: Kind) -> dict[str, bytes]:
        if kind is Kind.POWER:
            return dict(self._synced)
        files = [file for file in self.folder.iterdir() if not file.name.endswith(LOST)]
        return {file.name: file.read_bytes() for file in files}


class _File(apsw.VFSFile):
    """A file of the base VFS, each of whose writes is a step."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)
        self._disk = disk
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        with self._disk.lock:
            self._disk.step()
            super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        with self._disk.lock:
            self._disk.step()
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002 - SQLite's
        """Do as if: what lost power would leave is known here, so no test waits for the machine's own disk."""
        with self._disk.lock:
            self._disk.step()
            self._disk.sync(self._path)
