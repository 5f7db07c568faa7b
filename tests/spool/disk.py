"""Disk: SQLite's files as a crash leaves them, and a disk that refuses, at any step between two writes.

A VFS of SQLite's through which all connections of this process go while it is registered. Before each
write, sync, truncation and deletion it may keep what a lost process or lost power would leave behind,
or begin to refuse.
"""

from __future__ import annotations

import enum
import itertools
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "unix"
SECTOR = 512  # bytes that a disk writes whole or not at all
LOST = (".lock", "-shm")  # what is of no use to the next process
_names = itertools.count()


class Kind(enum.Enum):
    """What happens at a step."""

    KILL = enum.auto()
    """The process is lost: all that was written stays."""
    POWER = enum.auto()
    """The machine is lost: of what was written and not synced any part stays, in any order, torn between sectors."""
    REFUSAL = enum.auto()
    """This step and all behind it fail."""
    LAPSE = enum.auto()
    """One sync fails, and those behind it succeed, without what that one should have brought to disk."""


@dataclass
class Moment:
    """The step, counted from 1, at which something happens; `left` is what a crash there left, by file name.

    A lapse happens at the first sync from there on. `seed` decides what lost power leaves. `amid` tells whether a crash
    came before a step, and not behind the last one.
    """

    kind: Kind
    step: int
    seed: int = 0
    left: dict[str, bytes] | None = None
    lapsed: bool = False
    amid: bool = False


class Written(NamedTuple):
    """A write that is not synced, or with None the truncation to `offset`."""

    offset: int
    data: bytes | None


class Disk(apsw.VFS):
    """The disk under one spool, in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Register as SQLite's default, until `unregister`."""
        self._name = f"disk-{next(_names)}"
        super().__init__(self._name, BASE, makedefault=True)
        self.folder = folder
        self._synced: dict[str, bytes] = {}
        self._unsynced: dict[str, list[Written]] = {}
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
            if moment and moment.left is None and moment.kind in {Kind.KILL, Kind.POWER}:
                moment.left = self._crash(moment)

    def replace(self, folder: Path, files: dict[str, bytes]) -> None:
        """Go on in another folder with what a crash left."""
        for name, content in files.items():
            (folder / name).write_bytes(content)
        with self.lock:
            self.folder, self._synced, self._unsynced = folder, dict(files), {}

    def step(self) -> None:
        """Let happen what is due before the next write. Raises `apsw.IOError`."""
        moment = self._moment
        self._steps += 1
        if moment is None or self._steps < moment.step or moment.kind is Kind.LAPSE:
            return
        if moment.kind is Kind.REFUSAL:
            raise apsw.IOError("the disk refuses")
        if moment.left is None:
            moment.left, moment.amid = self._crash(moment), True

    def sync(self, file: Path) -> None:
        """Bring to disk what was written since the last time. Raises `apsw.IOError`, and drops it, when that fails.

        What was dropped can be read still, as it can where a kernel marks failed pages clean, and is not on disk.
        """
        unsynced = self._unsynced.pop(file.name, [])
        moment = self._moment
        if moment and moment.kind is Kind.LAPSE and not moment.lapsed and self._steps >= moment.step:
            moment.lapsed = True
            raise apsw.IOError("the disk refuses to sync")
        self._synced[file.name] = _after(self._synced.get(file.name, b""), unsynced)

    def wrote(self, file: Path, written: Written) -> None:
        """Note what is not synced."""
        self._unsynced.setdefault(file.name, []).append(written)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file whose writes are steps."""
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        """Delete a file, which is a step."""
        with self.lock:
            self.step()
            super().xDelete(name, syncdir)
            self._synced.pop(Path(name).name, None)
            self._unsynced.pop(Path(name).name, None)

    def _crash(self, moment: Moment) -> dict[str, bytes]:
        if moment.kind is Kind.POWER:
            chance = random.Random(moment.seed)
            names = sorted({*self._synced, *self._unsynced})
            unsynced = {name: _survivors(self._unsynced.get(name, []), chance) for name in names}
            return {name: _after(self._synced.get(name, b""), unsynced[name]) for name in names}
        files = [file for file in self.folder.iterdir() if not file.name.endswith(LOST)]
        return {file.name: file.read_bytes() for file in files}


def _survivors(unsynced: list[Written], chance: random.Random) -> list[Written]:
    """Choose what stays of unsynced writes: all, none, or some, each sector for itself."""
    share = chance.choice([0.0, 0.5, 0.9, 1.0])
    pieces = (
        Written(written.offset + place, written.data[place : place + SECTOR])
        for written in unsynced
        if written.data is not None
        for place in range(0, len(written.data), SECTOR)
    )
    if share == 1.0:
        return unsynced
    return [piece for piece in pieces if chance.random() < share]


def _after(content: bytes, unsynced: list[Written]) -> bytes:
    """Give a file's content behind these writes; what was never written is zeros."""
    file = bytearray(content)
    for offset, data in unsynced:
        if data is None:
            del file[offset:]
        else:
            file.extend(bytes(max(0, offset + len(data) - len(file))))
            file[offset : offset + len(data)] = data
    return bytes(file)


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
            self._disk.wrote(self._path, Written(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        with self._disk.lock:
            self._disk.step()
            super().xTruncate(newsize)
            self._disk.wrote(self._path, Written(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002 - SQLite's
        """Do as if: what lost power would leave is known here, so no test waits for the machine's own disk."""
        with self._disk.lock:
            self._disk.step()
            self._disk.sync(self._path)
