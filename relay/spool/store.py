"""Store: what one commit does to the spool's file. Used from the writer's thread alone."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import apsw

from relay.core.errors import Unavailable
from relay.core.model import Status
from relay.spool import totals
from relay.spool.draft import Draft
from relay.spool.failure import failure
from relay.spool.file import BUSY_MS, SCHEMA_VERSION, connect_writer, count
from relay.spool.ledger import Ledger
from relay.spool.memory import Memory
from relay.spool.place import Place
from relay.spool.room import Room
from relay.spool.sweep import Sweep
from relay.spool.takeback import take_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from relay.spool.group import Book
    from relay.spool.lock import Lock
    from relay.spool.recent import RecentIds
    from relay.spool.values import Appended, Entry, Journal, Journalled, Usage

T = TypeVar("T")

VERSION = "PRAGMA data_version"  # another one when another connection has written
BOUND_MS = 250  # how long a commit may be held up by those who read the log while it is folded


class Store:
    """Applies appends and journals to the file, each call one durable transaction.

    Deliveries are numbered from 1 in the order of acceptance, without gaps, and a number is never
    given twice. A call that raises has changed nothing, neither on disk nor in memory.
    """

    def __init__(
        self, path: Path, *, max_size: int, remembered: int, recent: RecentIds | None = None, lock: Lock | None = None
    ) -> None:
        """Open the file, under its lock; `recent` are the ids remembered, when known. Raises `Unavailable`."""
        self.connection = connect_writer(path)
        self._room = Room(self.connection, max_size)
        self.last_number = count(self.connection, "SELECT coalesce(max(number), 0) FROM ids")
        self.memory = Memory(self.connection, remembered, self.last_number, recent)
        self.last_flight = count(self.connection, "SELECT coalesce(max(id), 0) FROM flights")
        self._sweep = Sweep(self.connection)
        self._open: tuple[Draft, Ledger, int, tuple[int, int], int] | None = None
        self.log_frames = 0
        self.sound = True  # until a commit fails for another cause than room: then the file must be opened anew
        self.connection.set_wal_hook(self._count_log)
        self.place = Place(path, lock)
        self._version = count(self.connection, VERSION)

    @property
    def pending(self) -> int:
        """Count the deliveries that are on disk and not settled."""
        return self._room.pending

    @property
    def usage(self) -> Usage:
        """How full the file was after the last commit."""
        return self._room.usage

    @property
    def alone(self) -> bool:
        """Tell whether no other connection has written the file since it was opened. Raises `apsw.Error`."""
        return count(self.connection, VERSION) == self._version

    def bound(self, limit: int | None) -> None:
        """Take deliveries only up to so many bytes, where that is less than the file's own bound; None: up to that."""
        self._room.limit = limit

    def recall(self) -> bool:
        """Read the next of the ids remembered into memory; True once all are there. Raises `Unavailable`."""
        return self._look(lambda: self.memory.recall(self.last_number))

    def since(self) -> float | None:
        """Tell when the oldest id in memory was accepted. Raises `Unavailable`."""
        return self._look(self.memory.since)

    def _look(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except apsw.Error as error:
            self.sound = False
            raise failure("the spool could not be read", error) from error

    def commit(
        self, entries: Sequence[Entry], journals: Sequence[Journal], now: float
    ) -> tuple[list[Appended | Unavailable], list[Journalled]]:
        """Write all of it in one transaction, on disk when this returns: `prepare`, then `finish`."""
        answers = self.prepare(entries, journals, now)
        self.finish()
        return answers

    def is_warm(self, entries: Sequence[Entry], journals: Sequence[Journal]) -> bool:
        """Tell whether `prepare` finds in memory all that it needs, and so never waits for the disk."""
        return self.sound and self.memory.is_warm(self.last_number, entries, journals)

    def begin(self) -> bool:
        """Begin a transaction without waiting; False when another process is writing."""
        self.connection.set_busy_timeout(0)
        with suppress(apsw.Error):
            self.connection.execute("BEGIN IMMEDIATE")
        self.connection.set_busy_timeout(BUSY_MS)
        return self.connection.in_transaction

    def prepare(
        self, entries: Sequence[Entry], journals: Sequence[Journal], now: float, book: Book = lambda _: ()
    ) -> tuple[list[Appended | Unavailable], list[Journalled]]:
        """Write all of it in one transaction, of which nothing is on disk before `finish` has returned.

        An entry that cannot be taken (full, dead letters' quota) gets `Unavailable` as its answer and
        holds back nothing else. `book` hears what is appended and may add journals, which are answered last. Raises
        `Unavailable` when nothing was written.
        """
        ledger = Ledger(self.connection, self.last_flight)
        with self._all_or_nothing():
            self.place.check()
            draft = Draft(self.connection, self.memory.ids(self.last_number, entries), self.last_number + 1, self.usage)
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN IMMEDIATE")
            journalled = [ledger.write(journal, now) for journal in journals]
            appended = [draft.append(entry, now) for entry in entries]
            journalled += [ledger.write(journal, now) for journal in book(appended)]
            draft.write(now)
            finished = [done for answer in journalled for done in answer.done]
            withdrawn = len(draft.freed) + sum(len(answer.discarded) for answer in journalled)
            totals.count(self.connection, draft, finished, withdrawn=withdrawn, released=ledger.released)
            buried = self._room.buried(finished) - self._room.sizes(draft.freed) - ledger.discarded
            died = sum(done.status is Status.DEAD for done in finished) - withdrawn
            self._open = draft, ledger, len(finished), (buried, died), self._room.measure()
        return appended, journalled

    def finish(self) -> None:
        """Bring what was prepared to disk, and then into memory. Raises `Unavailable` when it is not on disk.

        Both belong together: a file that is opened anew is taken back to what memory says was written.
        """
        if self._open is None:
            raise AssertionError("nothing was prepared")
        draft, ledger, finished, (buried, died), used = self._open
        with self._all_or_nothing():
            self.memory.forget(self.last_number)
            if draft.ids:
                self._room.allot()
            self.connection.execute("COMMIT")
        self._open = None
        self.memory.add((number, digest) for number, digest, *_ in draft.ids)
        self.last_number += len(draft.ids)
        self.last_flight = ledger.last_flight
        self._room.take(
            used,
            pending=draft.pending - finished,
            owed=draft.owed - ledger.released,
            dead=draft.dead + buried,
            dead_letters=draft.buried + died,
        )

    def sweep(self, older_than: float) -> int:
        """Make room, 500 at most a call: deliveries settled before `older_than` leave.

        When space is short, bodies of settled deliveries go next, then settled deliveries, then the
        oldest ids, each from the oldest on. Pending and dead ones are never touched. The next call goes
        on behind the last that went, until one gives 0. Gives how many went; raises `Unavailable`.
        """
        sweep = self._sweep
        try:
            with self.connection:
                gone = sweep.expired(older_than)
                if self.usage.short:
                    gone = gone or sweep.bodies() or sweep.oldest() or sweep.ids(self.last_number)
                used = self._room.measure()
                oldest = count(self.connection, "SELECT coalesce(min(number), 0) FROM ids")
        except apsw.Error as error:
            self._sweep = Sweep(self.connection)  # from the oldest on: what seemed gone is there again
            self.sound = isinstance(error, apsw.FullError | apsw.BusyError)
            raise failure("the spool could not be swept", error) from error
        self._room.take(used)
        self.memory.leave(oldest)
        return gone

    def take_back(self, last_number: int, last_flight: int) -> None:
        """Remove what a commit that was reported as failed may have left on disk after all.

        Those deliveries were refused and those batches never sent. Also shows that the disk takes
        writes again. What this store remembers is not changed, so it is of no use afterwards.
        Raises `Unavailable`, also when the file lacks what a commit had reported as written.
        """
        if self.last_number < last_number:
            msg = (
                f"the spool lost what it held: delivery {last_number} was accepted, the file ends at {self.last_number}"
            )
            raise Unavailable(msg)
        try:
            with self.connection:
                take_back(self.connection, last_number, last_flight)
                self.connection.pragma("user_version", SCHEMA_VERSION)
        except apsw.Error as error:
            raise failure("the spool could not be written", error) from error

    def bound_log(self) -> None:
        """Fold the write-ahead log into the database when the keeper could not keep up with it.

        Leaves it as it is while somebody reads it for longer than a moment. Raises `Unavailable`.
        """
        self.connection.set_busy_timeout(BOUND_MS)
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return
        except apsw.Error as error:
            self.sound = isinstance(error, apsw.FullError)
            raise failure("the spool could not be written", error) from error
        finally:
            self.connection.set_busy_timeout(BUSY_MS)

    def close(self) -> None:
        """Close the file; the log is folded into the database."""
        self.connection.close()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Undo the transaction when a part of it fails. Raises `Unavailable` for what SQLite says."""
        try:
            yield
        except BaseException as error:
            self._open = None
            self._roll_back()
            self.sound = isinstance(error, apsw.FullError | apsw.BusyError)
            if not isinstance(error, apsw.Error):
                raise
            raise failure("the spool could not be written", error) from error

    def _count_log(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        self.log_frames = frames
        return apsw.SQLITE_OK

    def _roll_back(self) -> None:
        with suppress(apsw.Error):  # what counts is the error before; the file is opened anew after it
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
