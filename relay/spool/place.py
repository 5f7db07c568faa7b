"""Place: whether the spool's files still stand where they were opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.spool.failure import Damaged

if TYPE_CHECKING:
    from pathlib import Path

    from relay.spool.lock import Lock


class Place:
    """The files that a store has opened, by what the disk knows them under.

    What is deleted or replaced beneath a process stays readable and writable for it, and is gone when it
    ends: nothing may be acknowledged into it.
    """

    def __init__(self, path: Path, lock: Lock | None) -> None:
        """Remember the database and its log as they are now, just opened under `lock`. Raises OSError."""
        self._path, self._lock = path, lock
        self._files = (path, path.with_name(path.name + "-wal"))
        self._opened = self._look()

    def check(self) -> None:
        """Raise `Damaged` when one of them, or their lock, is gone or another one."""
        if self._lock:
            self._lock.check()
        if not self.stands:
            raise Damaged(f"the spool {self._path} was deleted or replaced beneath the relay")

    @property
    def stands(self) -> bool:
        """Tell whether the database and its log are where they were."""
        try:
            return self._look() == self._opened
        except OSError:
            return False

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = (file.stat() for file in self._files)
        return tuple((file.st_dev, file.st_ino) for file in found)
