"""Ballast: room on the disk that the spool can give itself when others have filled it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEAST = 1 << 20  # bytes; a disk with less than so much free is full, with or without a ballast


class Ballast:
    """A file beside the spool that holds nothing, and is deleted when the disk is full.

    What is pending can go on to Kafka only while its flights and settlements find room. Used from the
    writer's thread alone.
    """

    def __init__(self, spool: Path, size: int) -> None:
        """Name the file; `load` makes it. `size` is in bytes; 0 goes without."""
        self.path = spool.with_name(spool.name + ".ballast")
        self._size = size

    @property
    def fits(self) -> bool:
        """Tell whether the disk has room for the ballast and as much again, so that it is not dropped at once."""
        return self._free() >= 2 * max(self._size, LEAST)

    @property
    def disk_is_full(self) -> bool:
        """Tell whether the disk has hardly any room left."""
        return self._free() < LEAST

    def load(self) -> bool:
        """Make the file, its bytes allotted by the disk, unless it is there; False when there is no room for it."""
        if not self._size:
            self.drop()
            return True
        try:
            if self.path.is_symlink():
                self.path.unlink()  # what it leads to is none of ours, and would be cut off
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, min(self._size, os.fstat(fd).st_size))
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError:
            self.drop()
            return False
        return True

    def drop(self) -> int:
        """Delete the file, also one of an earlier configuration; give the bytes that this set free."""
        try:
            size = self.path.lstat().st_blocks * 512
            self.path.unlink()
        except OSError:
            return 0
        return size

    def _free(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize
