"""Spool: the durable store of deliveries, what became of their records, and flights."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from relay.core.errors import Unavailable
from relay.spool.access import Access
from relay.spool.failure import Damaged, Hopeless
from relay.spool.group import Booker, Group, OnDisk, gather
from relay.spool.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from relay.core.model import Record
    from relay.metrics import Metrics
    from relay.spool.reader import Reader
    from relay.spool.store import Store
    from relay.spool.values import Appended, Dead, Entry, Fact, Flight, Journal, Journalled, Losses, Stored, Told, Usage

log = structlog.get_logger()
T = TypeVar("T")

SWEEP_INTERVAL, PROBE_INTERVAL = 60.0, 1.0  # seconds


class Spool:
    """The durable store: one SQLite file, one writer, group commit.

    What waits when a commit begins goes into it, all of it. What returned normally is on disk
    (write-ahead log, `synchronous=FULL`). Used from one event loop; what waits for the disk runs in threads, so
    a stalled one stalls neither refusals nor health. Every method that touches the disk raises `Unavailable`.
    """

    def __init__(  # noqa: PLR0913 - its settings, by keyword
        self, path: Path, *, max_size: int, retention: float, remembered: int, metrics: Metrics, ballast: int = 0
    ) -> None:
        """Name the file; `open` opens it. Sizes in bytes, `retention` in seconds, `remembered` in ids."""
        self._path, self._retention, self._metrics = path, retention, metrics
        self._access = Access(path, partial(Writer, path, max_size=max_size, remembered=remembered, ballast=ballast))
        self.booker: Booker | None = None  # who joins the commits that bring deliveries to disk
        self._waiting = Group()
        self._committing: asyncio.Task[None] | None = None
        # Seconds since the epoch: when the oldest id remembered was accepted, and the oldest pending one came in.
        self.horizon_since: float | None = None
        self.pending_since: float | None = None
        self._refused, self._at_rest, self._mending = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._at_rest.set()
        self.fault: str | None = None
        self._damaged, self._sweepable = False, True

    async def __aenter__(self) -> Self:
        """Take the lock and open the file; the ids remembered are read meanwhile. Raises `Unavailable`."""
        await self._access.open()
        self._tending = asyncio.create_task(self._tend())
        log.info("spool.opened", path=str(self._path), pending=self.pending, bytes=self.usage.used)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the commit under way and what waits for one, notes too, then close the file."""
        self._tending.cancel()
        self._wake()
        while self._committing:
            await asyncio.wait([self._committing])
        await self._access.close()

    @property
    def _store(self) -> Store:
        return self._access.writer.store  # another one after a failure

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
    def losses(self) -> Losses:
        """What damaged files cost since the start."""
        return self._access.writer.losses

    @property
    def squeezed(self) -> bool:
        """Tell whether others have filled the disk, so that only what the spool's file has already is used."""
        return self._access.writer.squeezed

    @property
    def horizon(self) -> tuple[int, int | None]:
        """How many ids are remembered, and the oldest delivery number among them."""
        return self._store.memory.horizon

    async def append(self, entry: Entry, on_disk: OnDisk, records: Sequence[Record] = ()) -> Appended:
        """Store a delivery, unless it repeats one, also within one commit; on disk when this returns.

        `on_disk` is called for each delivery that was stored, in order of acceptance, before anybody who waits goes
        on, and also when the caller was cancelled. `records` are its own, for the booker: without any none is booked.
        """
        answer = self._waiting.append(entry, on_disk, records)
        self._wake()
        return await answer

    async def write(self, journal: Journal) -> Journalled:
        """Write settlements, landed flights and new flights in one commit; on disk when this returns."""
        answer = self._waiting.write(journal)
        self._wake()
        return await answer

    async def rest(self) -> None:
        """Wait until no commit is under way; what is asked for in the next few turns of the loop is in the next one."""
        await self._at_rest.wait()

    def note(self, told: Told) -> None:
        """Let what a sender was told go to disk with the next commit, in a second or so; nobody waits for it."""
        self._waiting.note(told)

    async def page(self, after: int, until: int) -> list[Stored]:
        """Read pending deliveries numbered in (`after`, `until`], in order, a bounded piece at a time."""
        return await self._read(lambda reader: reader.page(after, until))

    async def load(self, numbers: Iterable[int]) -> dict[int, Stored]:
        """Read deliveries by number; one that is not there is left out."""
        return await self._read(lambda reader: reader.load(numbers))

    async def fact(self, number: int) -> Fact | None:
        """Read what became of a delivery; None when its row was swept."""
        return await self._read(lambda reader: reader.fact(number))

    async def unmirrored(self, after: int, sources: Sequence[str]) -> list[Dead]:
        """Read dead letters of these sources above number `after` that have no mirror, in order, a bounded piece."""
        return await self._read(lambda reader: reader.unmirrored(after, sources))

    async def flights(self) -> list[Flight]:
        """Read all flights, in the order in which they were journalled."""
        return await self._read(lambda reader: reader.flights())

    def _wake(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        """Commit what waits until nothing does."""
        try:
            while self._waiting:
                await gather()
                group, self._waiting = self._waiting, Group()
                await self._commit(group)
                try:
                    await self._access.bound_log()
                except Exception as error:  # noqa: BLE001 - what waits behind it must be committed all the same
                    self._fail(error)
        finally:
            self._committing = None

    async def _commit(self, group: Group) -> None:
        started, group.booker = time.perf_counter(), self.booker
        self._at_rest.clear()
        try:
            appended, journalled = await self._access.commit(group)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            group.fail(self._fail(error))
            return
        finally:
            self._at_rest.set()
        self.fault = self.fault if self._damaged else None  # what is damaged is, until it is mended
        self._sweepable = self._sweepable or any(answer.done or answer.discarded for answer in journalled)
        if self._sweepable and any(isinstance(answer, Unavailable) for answer in appended):
            self._refused.set()
        self._metrics.committed(len(appended) + len(journalled), time.perf_counter() - started)
        group.succeed(appended, journalled)

    async def _tend(self) -> None:
        """Sweep from time to time, and while the disk refuses to write, ask it again."""
        tended_at = time.monotonic()
        while True:
            if self.fault is None and not self.horizon[0]:
                await self.recall()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._refused.wait(), PROBE_INTERVAL)
            self._refused.clear()
            try:
                await (self.mend() if self.fault else self._access.write(Writer.tend))
                if (self.usage.short and self._sweepable) or time.monotonic() - tended_at > SWEEP_INTERVAL:
                    tended_at = time.monotonic()
                    await self._sweep()
                    await self.recall()
                if self._waiting:
                    self._wake()
                self.pending_since = await self._read(lambda reader: reader.pending_since())
            except Exception as error:  # noqa: BLE001 - tending never ends, or the disk would be asked no more
                self._fail(error)

    async def mend(self) -> None:
        """Open the file anew, or make it anew of what can be read, unless that was done meanwhile."""
        async with self._mending:
            if self.fault:
                await (self._access.renew() if self._damaged else self._access.write(Writer.reopen))
                self.fault, self._damaged = None, False
                log.info("spool.opened", path=str(self._path), pending=self.pending, bytes=self.usage.used)

    async def _read(self, work: Callable[[Reader], T]) -> T:
        try:
            return await self._access.read(work)
        except Damaged as error:
            self._fail(error)
            raise

    async def recall(self) -> None:
        """Read the ids remembered into memory, unless they are; commits go on between. And how far back they go."""
        try:
            while not await self._access.write(lambda writer: writer.store.recall()):
                pass
            self.horizon_since = await self._access.write(lambda writer: writer.store.since())
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    async def _sweep(self) -> None:
        self._sweepable, total = False, 0
        while gone := await self._access.write(lambda writer: writer.store.sweep(time.time() - self._retention)):
            total += gone
        if total:
            log.info("spool.swept", deliveries=total, bytes=self.usage.used)

    def _fail(self, error: Exception) -> Unavailable:
        """Note that the disk, or we, failed; give the fate of what was to be written."""
        fate = error if isinstance(error, Unavailable) else Unavailable(f"the spool failed unexpectedly: {error!r}")
        if self.fault is None:
            log.error("spool.failed", path=str(self._path), error=str(fate))
        self.fault = str(fate) if isinstance(fate, Hopeless) else f"{fate}; it is tried again every second"
        if isinstance(fate, Damaged):
            self._damaged = True
            self._refused.set()
        return fate
