"""Writer: the store as it is opened, written, and opened anew when the disk has failed it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import apsw
import structlog

from relay.core.errors import Cause, Unavailable
from relay.spool import totals
from relay.spool.ballast import Ballast
from relay.spool.failure import Damaged, Hopeless, failing
from relay.spool.file import connect_reader, keep_log
from relay.spool.salvage import finish, salvage
from relay.spool.store import Store
from relay.spool.successor import Successor
from relay.spool.values import Losses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.spool.lock import Lock
    from relay.spool.recent import RecentIds
    from relay.spool.salvage import Salvaged
    from relay.spool.values import Appended, Entry, Journal, Journalled

    Answers = tuple[list[Appended | Unavailable], list[Journalled]]

log = structlog.get_logger()


class Writer:
    """Holds the one store that writes the file. Used from the writer's thread alone, but for `store`.

    While others have filled the disk the spool is *squeezed*: it has given up its ballast, and takes only
    what goes into the space that its file has already, less the reserve; so what is pending drains.
    """

    def __init__(self, path: Path, lock: Lock, *, max_size: int, remembered: int, ballast: int) -> None:
        """Open the file under its lock, and load the ballast. Raises `Unavailable` when it cannot be used."""
        self._path, self._max_size, self._remembered = path, max_size, remembered
        self._lock = lock
        self._usurped = False  # another relay has written the file, and nobody here knows what
        self._ballast = Ballast(path, ballast)
        self._limit: int | None = None
        self.losses = Losses(0, 0)
        self._hopeless: str | None = None  # why nothing may be written, while that is so
        self.store = self._open_or_salvage()
        self._held = True  # its connection is open, and reads what it has written even where that was deleted
        self._load_ballast()
        self._mark_start()

    @property
    def squeezed(self) -> bool:
        """Tell whether the disk was found full and has not had room since."""
        return self._limit is not None

    def commit(self, entries: Sequence[Entry], journals: Sequence[Journal]) -> Answers:
        """Write all of it in one transaction, on a file opened anew when it has failed. Raises `Unavailable`.

        When the disk is full the ballast goes, and then entries are refused, so that journals are written.
        """
        answers = self._commit_if_room(entries, journals)
        if answers is None:
            self._squeeze()
            answers = self._commit_if_room(entries, journals)
        if answers is None:
            self._bound(self.store.usage.used)
            _, journalled = self.store.commit((), journals, time.time())
            full = Unavailable("the disk is full", retry_after=5, cause=Cause.SPOOL_FULL)
            answers = [full] * len(entries), journalled
        return answers

    def reopen(self) -> None:
        """Open the file anew, as of the last commit that succeeded: failed pages are never tried again.

        Raises `Unavailable` while the disk refuses, and `Damaged` when the file is damaged, or was deleted or replaced
        and only the connection that is open reads what was acknowledged: `renew` must read it then, first of all.
        """
        if self._hopeless:
            raise Hopeless(self._hopeless)
        if self._held:
            self.store.place.check()
        else:
            self._lock.check()
        self._reopen()

    def _reopen(self) -> None:
        number, flight, recent = self.store.last_number, self.store.last_flight, self.store.memory.recent
        self.store.close()
        self._held = False
        store = self._open()
        store.take_back(number, flight)
        store.close()
        store = self._open(recent)  # which knows nothing of what has just been taken back
        store.last_flight = flight  # a lane may still name an older one as landed, so none of them is given again
        self.store, self._held = store, True

    def relock(self) -> bool:
        """Take the lock anew where it was away; True when nothing else was. Raises `Unavailable`.

        `InUse` while another relay has it. One that has written the same file meanwhile has given numbers and settled
        deliveries that nobody here knows of: then nothing is written here any more.
        """
        if not self._lock.renew():
            return False
        if not self._held or not self._is_alone():
            self._usurped, self.store.sound = True, False
            self._hopeless = (
                f"another relay may have written {self._path} while {self._lock.path} was away: restart this one, "
                "which then goes on with all that is in the file"
            )
            raise Hopeless(self._hopeless)
        return self.store.place.stands

    def renew(self) -> None:
        """Put a file made of what can be read in the place of a damaged or deleted one. Raises `Unavailable`.

        Every other connection must be closed. What was deleted is still read by the connection that is open. While
        nothing tells what it held nothing is written either.
        """
        if self._usurped:
            self.reopen()  # which says why it cannot be
        self._leave_log()
        try:
            self._salvage(self.store.connection if self._held else self._reader(), self.store.last_number)
        except Unavailable as error:
            if isinstance(error, Hopeless):
                self._hopeless, self.store.sound = str(error), False
            self._held = self._held and not Successor(self._path).is_ready  # for whose sake it was closed
            raise
        self._hopeless = None
        self._held = False
        self._reopen()
        self._load_ballast()

    def tend(self) -> None:
        """Look whether the file is there still, and load the ballast again once the disk has room.

        Raises `Damaged` when it is not.
        """
        self.store.place.check()
        if self.squeezed and self._ballast.fits and self._ballast.load():
            self._bound(None)
            log.info("spool.eased", path=str(self._path))

    def close(self) -> None:
        """Close the file."""
        self._leave_log()
        self.store.close()

    def _open_or_salvage(self) -> Store:
        """Open it at the start, when nothing else has it open and a damaged one may be made anew at once."""
        try:
            return self._open()
        except Damaged:
            self._salvage(self._reader(), 0)
            return self._open()

    def _open(self, recent: RecentIds | None = None) -> Store:
        with failing(f"the spool {self._path} is being made anew, and cannot be"):
            if finished := finish(self._path):  # older than what a salvage had ready, nothing may be opened
                self._tell(finished)
        try:
            store = self._open_store(recent)
        except Unavailable:
            if not self._ballast.disk_is_full or not self._ballast.drop():
                raise
            store = self._open_store(recent)  # SQLite makes files beside the spool, for which there was no room
            self._limit = self._path.stat().st_size
        store.bound(self._limit)
        return store

    def _open_store(self, recent: RecentIds | None) -> Store:
        with failing(f"the spool {self._path} cannot be opened"):
            return Store(
                self._path, max_size=self._max_size, remembered=self._remembered, recent=recent, lock=self._lock
            )

    def _reader(self) -> apsw.Connection:
        with failing(f"the spool {self._path} cannot be opened"):
            return connect_reader(self._path)

    def _is_alone(self) -> bool:
        try:
            return self.store.alone
        except apsw.Error:
            return False

    def _leave_log(self) -> None:
        if self._held and not self.store.place.stands:
            keep_log(self.store.connection)

    def _load_ballast(self) -> None:
        if not self.squeezed and not self._ballast.load():
            self._squeeze()

    def _mark_start(self) -> None:
        """Note the totals of this start, the first write to the file. Raises `Unavailable`."""
        with suppress(apsw.FullError):  # then the metrics of this start are not held against the totals rightly
            try:
                totals.mark_start(self.store.connection)
            except apsw.CorruptError:
                self.renew()
                totals.mark_start(self.store.connection)

    def _salvage(self, source: apsw.Connection, last_number: int) -> None:
        if not self._hopeless:  # else that is known, and it is looked at again and again
            log.error("spool.damaged", path=str(self._path))
        with failing(f"the spool {self._path} is damaged, and cannot be made anew"):
            self._tell(finish(self._path) or salvage(self._path, source, last_number))

    def _tell(self, salvaged: Salvaged) -> None:
        self.losses = Losses(self.losses.lost + salvaged.lost, self.losses.doubtful + salvaged.doubtful)
        aside, damaged = str(salvaged.aside) if salvaged.aside else None, list(salvaged.damaged)
        log.error("spool.salvaged", path=str(self._path), **salvaged._asdict() | {"aside": aside, "damaged": damaged})

    def _commit_if_room(self, entries: Sequence[Entry], journals: Sequence[Journal]) -> Answers | None:
        if not self.store.sound:
            self.reopen()
        try:
            return self.store.commit(entries, journals, time.time())
        except Unavailable as error:
            if error.cause is not Cause.SPOOL_FULL:
                raise
        return None

    def _squeeze(self) -> None:
        """Make do with the space that the file has; begin its log anew, so that that need not grow either."""
        freed = self._ballast.drop()
        if not self.squeezed:
            log.error("spool.squeezed", path=str(self._path), freed=freed)
            self._bound(self._path.stat().st_size)
        with suppress(Unavailable):  # the commit that follows finds out
            self.store.bound_log()

    def _bound(self, limit: int | None) -> None:
        self._limit = limit
        self.store.bound(limit)
