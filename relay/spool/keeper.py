"""Keeper: copies the write-ahead log into the database beside the writer, in a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import structlog

from relay.spool.file import connect_keeper
from relay.spool.thread import Thread

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

log = structlog.get_logger()

CHECKPOINT_FRAMES = 1_000
LOG_FRAMES_MAX = 16_384  # 64 MiB of write-ahead log


class Keeper:
    """Keeps the log short without holding up a commit: one inside a commit triples the slowest answers."""

    def __init__(self, path: Path) -> None:
        """Name the file; `open` opens it."""
        self._path = path
        self._thread = Thread("spool-keeper")
        self._under_way: asyncio.Future[None] | None = None
        self._bound = LOG_FRAMES_MAX

    async def open(self) -> None:
        """Open a connection of its own. Raises `apsw.Error`."""
        self._connection = await self._thread.do(lambda: connect_keeper(self._path))

    async def close(self) -> None:
        """Finish what is under way, and close the connection."""
        await self._thread.do(self._connection.close)

    def end(self) -> None:
        """End the thread; the connection is closed."""
        self._thread.close()

    async def overrun(self, frames: int) -> bool:
        """Start a checkpoint when the log has grown to it; True when it grows faster than can be copied.

        When True no checkpoint is under way any more, since it would refuse the one that must follow.
        """
        if frames > CHECKPOINT_FRAMES and (self._under_way is None or self._under_way.done()):
            self._under_way = self._thread.do(self._checkpoint)
        if frames <= LOG_FRAMES_MAX:
            self._bound = LOG_FRAMES_MAX
        if frames <= self._bound or self._under_way is None:
            return False
        # Somebody who reads may hold the log as it is: then it is tried again from time to time only.
        self._bound = frames + CHECKPOINT_FRAMES
        await self._under_way
        return True

    def _checkpoint(self) -> None:
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return  # the next one will find the way free
        except apsw.Error as error:
            log.warning("spool.failed", path=str(self._path), error=str(error), during="checkpoint")
