"""Spool: the durable store of deliveries, what became of their records, and flights."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import apsw
import structlog

from relay.core.errors import Unavailable
from relay.spool.file import Lock
from relay.spool.keeper import Keeper
from relay.spool.reader import Reader
from relay.spool.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Self

    from relay.metrics import Metrics
    from relay.spool.values import Appended, Entry, Fact, Flight, Journal, Journalled, Stored, Usage

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Append:
    entry: Entry
    on_disk: Callable[[Appended], None]
    answer: asyncio.Future[Appended]


@dataclass(frozen=True, slots=True)
class _Write:
    journal: Journal
    answer: asyncio.Future[Journalled]


SWEEP_INTERVAL = 60.0
PROBE_INTERVAL = 1.0


class Spool:
    """The durable store: one SQLite file, one writer, group commit.

    What waits when a commit returns goes into the next one, all of it; there is no timer. Everything
    that returned normally is on disk (write-ahead log, `synchronous=FULL`). Used from one event loop;
    SQLite runs in three threads of its own (writer, reader, keeper of the log), so a stalled disk
    stalls neither refusals nor health. Every method that touches the disk raises `Unavailable`.
    """

    def __init__(self, path: Path, *, max_size: int, retention: float, remembered: int, metrics: Metrics) -> None:
        """Name the file; `open` opens it. Sizes in bytes, `retention` in seconds, `remembered` in ids."""
        self._path = path
        self._max_size, self._retention, self._remembered = max_size, retention, remembered
        self._metrics = metrics
        self._appends: list[_Append] = []
        self._writes: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(1, "spool-writer")
        self._reading = ThreadPoolExecutor(1, "spool-reader")
        self._keeper = Keeper(path)
        self.fault: str | None = None

    async def __aenter__(self) -> Self:
        """Take the lock, open the file and read the ids remembered. Raises `Unavailable`."""
        self._lock = Lock(self._path)
        self._store = await self._in(self._writer, self._open_store)
        self._reader = await self._in(self._reading, lambda: Reader(self._path))
        await self._keeper.open()
        self._tending = asyncio.create_task(self._tend())
        log.info("spool.opened", path=str(self._path), pending=self.pending, bytes=self.usage.used)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the commit under way and what waits for one, then close the file."""
        if self._tending:
            self._tending.cancel()
        while self._committing:
            await asyncio.wait([self._committing])
        await self._in(self._reading, self._reader.close)
        await self._keeper.close()
        await self._in(self._writer, self._store.close)
        for executor in (self._writer, self._reading):
            executor.shutdown()
        self._lock.close()

    @property
    def pending(self) -> int:
        """Count the deliveries that are on disk and not settled."""
        return self._store.pending

    @property
    def last_number(self) -> int:
        """The number of the delivery accepted last; 0 before the first."""
        return self._store.last_number

    @property
    def usage(self) -> Usage:
        """How full the file was after the last commit."""
        return self._store.usage

    @property
    def horizon(self) -> tuple[int, int | None]:
        """How many ids are remembered, and the oldest delivery number among them."""
        return self._store.horizon

    async def append(self, entry: Entry, on_disk: Callable[[Appended], None]) -> Appended:
        """Store a delivery, unless it repeats one; on disk when this returns.

        `on_disk` is called for each delivery that was stored, in order of acceptance, before anybody
        who waits goes on, and whether or not the caller still waits: so nothing on disk is forgotten
        when a request is cancelled. Repeats are decided here, within one commit too.
        """
        answer: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._appends.append(_Append(entry, on_disk, answer))
        self._wake()
        return await answer

    async def write(self, journal: Journal) -> Journalled:
        """Write settlements, landed flights and new flights in one commit; on disk when this returns."""
        answer: asyncio.Future[Journalled] = asyncio.get_running_loop().create_future()
        self._writes.append(_Write(journal, answer))
        self._wake()
        return await answer

    async def page(self, after: int, until: int) -> list[Stored]:
        """Read pending deliveries numbered in (`after`, `until`], in order, a bounded piece at a time."""
        return await self._in(self._reading, lambda: self._reader.page(after, until))

    async def load(self, numbers: Iterable[int]) -> dict[int, Stored]:
        """Read deliveries by number; one that is not there is left out."""
        return await self._in(self._reading, lambda: self._reader.load(numbers))

    async def fact(self, number: int) -> Fact | None:
        """Read what became of a delivery; None when its row was swept."""
        return await self._in(self._reading, lambda: self._reader.fact(number))

    async def flights(self) -> list[Flight]:
        """Read all flights, in the order in which they were journalled."""
        return await self._in(self._reading, self._reader.flights)

    def _open_store(self) -> Store:
        try:
            return Store(self._path, max_size=self._max_size, remembered=self._remembered)
        except (apsw.Error, OSError) as error:
            msg = f"the spool {self._path} cannot be opened: {error}"
            raise Unavailable(msg) from error

    def _wake(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        """Commit what waits until nothing does."""
        try:
            while self._appends or self._writes:
                appends, self._appends = self._appends, []
                writes, self._writes = self._writes, []
                await self._commit(appends, writes)
        finally:
            self._committing = None

    async def _commit(self, appends: list[_Append], writes: list[_Write]) -> None:
        started = time.perf_counter()
        entries = [append.entry for append in appends]
        journals = [write.journal for write in writes]
        try:
            appended, journalled = await self._in(
                self._writer, lambda: self._store.commit(entries, journals, time.time())
            )
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self._fail(error)
            for append in appends:
                _tell(append.answer, error)
            for write in writes:
                _tell(write.answer, error)
            return
        self.fault = None
        self._metrics.committed(len(appends) + len(writes), time.perf_counter() - started)
        for append, result in zip(appends, appended, strict=True):
            if not isinstance(result, Unavailable) and not result.duplicate:
                append.on_disk(result)
        for append, result in zip(appends, appended, strict=True):
            _tell(append.answer, result)
        for write, done in zip(writes, journalled, strict=True):
            _tell(write.answer, done)
        if self._keeper.overrun(self._store.log_frames):
            await self._in(self._writer, self._store.bound_log)

    async def _tend(self) -> None:
        """Sweep from time to time, and while the disk refuses to write, ask it again."""
        swept_at = time.monotonic()
        while True:
            await asyncio.sleep(PROBE_INTERVAL)
            try:
                if self.fault:
                    await self._in(self._writer, self._reopen)
                    self.fault = None
                    log.info("spool.opened", path=str(self._path), pending=self.pending, bytes=self.usage.used)
                elif self.usage.full or time.monotonic() - swept_at > SWEEP_INTERVAL:
                    swept_at = time.monotonic()
                    await self._sweep()
            except Unavailable as error:
                self._fail(error)

    async def _sweep(self) -> None:
        total = 0
        while gone := await self._in(self._writer, lambda: self._store.sweep(time.time() - self._retention)):
            total += gone
        if total:
            log.info("spool.swept", deliveries=total, bytes=self.usage.used)

    def _reopen(self) -> None:
        """Open the file anew, as of the last commit that succeeded: failed pages are never tried again."""
        number, flight = self._store.last_number, self._store.last_flight
        self._store.close()
        store = self._open_store()
        store.take_back(number, flight)
        store.close()
        self._store = self._open_store()

    def _fail(self, error: Exception) -> None:
        if self.fault is None:
            log.error("spool.failed", path=str(self._path), error=str(error))
        self.fault = str(error)

    def _in(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(executor, work)


def _tell(answer: asyncio.Future[T], result: T | Exception) -> None:
    """Answer whoever waits, unless nobody does any more."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
