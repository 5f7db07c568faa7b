"""Access: the spool's file, opened to be written, read, and kept short, each in a thread of its own."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import apsw

from relay.core.errors import Cause, Unavailable
from relay.spool.keeper import Keeper
from relay.spool.lock import Lock
from relay.spool.reader import Reader
from relay.spool.thread import Thread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from relay.spool.group import Group
    from relay.spool.writer import Answers, Writer

T = TypeVar("T")


class Access:
    """Opens and closes the file's connections together, under its lock. Used from one event loop."""

    def __init__(self, path: Path, writer: Callable[[Lock], Writer]) -> None:
        """Name the file; `writer` opens it to be written under its lock."""
        self._path = path
        self._open_writer = writer
        self._writing = Thread("spool-writer")
        self._reading = Thread("spool-reader")
        self._keeper = Keeper(path)

    async def open(self) -> None:
        """Take the lock, and open the file. Raises `Unavailable`, and then holds nothing."""
        self._lock = Lock(self._path)
        try:
            self.writer = await self._writing.do(lambda: self._open_writer(self._lock))
            await self._open_others()
        except BaseException:
            self._lock.close()
            raise

    async def close(self) -> None:
        """Close the file when what was asked before is done, and give the lock back."""
        await self._close_others()
        await self._writing.do(self.writer.close)
        for thread in (self._writing, self._reading):
            thread.close()
        self._keeper.end()
        self._lock.close()

    @property
    def busy(self) -> bool:
        """Tell whether the writer's thread has anything to do."""
        return self._writing.jobs > 0

    def write(self, work: Callable[[Writer], T]) -> asyncio.Future[T]:
        """Do something in the writer's thread, in the order asked."""
        return self._writing.do(lambda: work(self.writer))

    async def commit(self, group: Group) -> Answers:
        """Write in one commit: here what is done in memory, in the writer's thread what may wait for the disk.

        Bookings join the former alone: lanes belong to the loop.
        """
        store, entries, journals = self.writer.store, group.entries, group.journals
        if self.busy or not store.is_warm(entries, journals) or not store.begin():
            return await self.write(lambda writer: writer.commit(entries, journals))
        try:
            answers = store.prepare(entries, journals, time.time(), group.book)
            await self.write(lambda writer: writer.store.finish())
        except Unavailable as error:
            if error.cause is not Cause.SPOOL_FULL:
                raise
            group.unbook()
            answers = await self.write(lambda writer: writer.commit(entries, journals))
        return answers

    def read(self, work: Callable[[Reader], T]) -> asyncio.Future[T]:
        """Do something in the reader's thread, in the order asked."""
        return self._reading.do(lambda: work(self._reader))

    async def bound_log(self) -> None:
        """Let the log be copied into the database when it has grown. Raises `Unavailable`."""
        if await self._keeper.overrun(self.writer.store.log_frames):
            await self.write(lambda writer: writer.store.bound_log())

    async def renew(self) -> None:
        """Put a file made of what can be read in the place of a damaged one. Raises `Unavailable`.

        Nothing else may have the file open meanwhile: SQLite deletes a log by its name. The lock comes first: while
        another relay has it, what stands there is that one's.
        """
        if await self._writing.do(self.writer.relock):
            return
        await self._close_others()
        try:
            await self._writing.do(self.writer.renew)
        except BaseException:
            with suppress(Unavailable, apsw.Error):  # what is damaged may not be opened either; the first word counts
                await self._open_others()
            raise
        await self._open_others()

    async def _open_others(self) -> None:
        self._reader = await self._reading.do(lambda: Reader(self._path))
        await self._keeper.open()

    async def _close_others(self) -> None:
        await self._reading.do(self._reader.close)
        await self._keeper.close()
