"""The relay on a disk that takes its time for each sync, as disks on a network do: `python -m bench.slow_disk run`."""

from __future__ import annotations

import sys
import time

import apsw

from relay.cli import main

SYNC = 0.02  # seconds


class SlowDisk(apsw.VFS):
    """SQLite's way to the disk, with slow syncs."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file."""
        return SlowFile("unix", name, flags)


class SlowFile(apsw.VFSFile):
    """A file of which each sync takes `SYNC` longer."""

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        """Bring to disk what was written."""
        time.sleep(SYNC)
        super().xSync(flags)


if __name__ == "__main__":
    disk = SlowDisk("slow", "unix", makedefault=True)
    sys.exit(main())
