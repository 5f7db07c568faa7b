"""Store: what one commit does to the spool's file. Used from the writer's thread alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import apsw
import msgspec

from relay.core.errors import Reason, Unavailable
from relay.core.model import Status
from relay.spool.draft import SIZE, Draft
from relay.spool.file import BUSY_MS, PAGE_SIZE, SCHEMA_VERSION, connect_writer, rows
from relay.spool.recent import RecentIds
from relay.spool.values import Appended, Done, Entry, Flight, Journal, Journalled, Settlement, Usage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SWEEP_ROWS = 500
BOUND_MS = 250  # how long a commit may be held up by those who read the log while it is folded


class Store:
    """Applies appends and journals to the file, each call one durable transaction.

    Deliveries are numbered from 1 in the order of acceptance, without gaps, and a number is never
    given twice. A call that raises has changed nothing, neither on disk nor in memory.
    """

    def __init__(self, path: Path, *, max_size: int, remembered: int) -> None:
        """Open the file and read the ids remembered. Raises `Unavailable` when it cannot be used."""
        self._connection = connect_writer(path)
        self._max_size = max_size
        # The reserve lets flights and settlements go on, and so drain the spool, when it is full.
        self._reserve = max(64 * PAGE_SIZE, min(max_size // 10, 64 << 20))
        self._connection.pragma("max_page_count", max_size // PAGE_SIZE)
        self._remembered = remembered
        self._recent = RecentIds(remembered)
        self.last_number = self._count("SELECT coalesce(max(number), 0) FROM ids")
        query = "SELECT number, digest FROM ids WHERE number > ? ORDER BY number"
        for number, digest in self._connection.execute(query, (self.last_number - remembered,)):
            self._recent.add(number, digest)
        self.last_flight = self._count("SELECT coalesce(max(id), 0) FROM flights")
        self.pending = self._count("SELECT count(*) FROM deliveries WHERE status = 'pending'")
        self._dead = self._count(f"SELECT coalesce(sum({SIZE}), 0) FROM deliveries WHERE status = 'dead'")  # noqa: S608 - constant
        self._used = self._measure()
        self._swept = 0
        self.log_frames = 0
        self._connection.set_wal_hook(self._count_log)

    @property
    def usage(self) -> Usage:
        """How full the file was after the last commit."""
        return Usage(self._used, self._max_size, self._reserve, self._dead, self._max_size // 4)

    @property
    def horizon(self) -> tuple[int, int | None]:
        """How many ids are remembered, and the oldest number among them."""
        return len(self._recent), self._recent.oldest

    def read_horizon_since(self) -> float | None:
        """Read when the oldest id remembered was accepted; None when there is none. Raises `Unavailable`."""
        query = "SELECT accepted_at FROM ids WHERE number = ?"
        try:
            found = rows(self._connection, query, (self._recent.oldest,))
        except apsw.Error as error:
            msg = f"the spool could not be read: {error}"
            raise Unavailable(msg) from error
        return found[0][0] if found else None

    def commit(
        self, entries: Sequence[Entry], journals: Sequence[Journal], now: float
    ) -> tuple[list[Appended | Unavailable], list[Journalled]]:
        """Write all of it in one transaction, on disk when this returns.

        An entry that cannot be taken (full, dead letters' quota) gets `Unavailable` as its answer and
        holds back nothing else. Raises `Unavailable` when nothing was written.
        """
        draft = Draft(self._connection, self._recent, self.last_number + 1, self.usage)
        last_flight = self.last_flight
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            journalled = [self._journal(journal, now) for journal in journals]
            appended = [draft.append(entry, now) for entry in entries]
            draft.write(self._remembered)
            finished = [done for answer in journalled for done in answer.done]
            buried = self._sizes(done.number for done in finished if done.status is Status.DEAD)
            used = self._measure()
            self._connection.execute("COMMIT")
        except BaseException as error:
            self.last_flight = last_flight
            self._roll_back()
            if not isinstance(error, apsw.Error):
                raise
            msg = f"the spool could not be written: {error}"
            raise Unavailable(msg) from error
        for number, digest, *_ in draft.ids:
            self._recent.add(number, digest)
        self.last_number += len(draft.ids)
        self.pending += draft.pending - len(finished)
        self._dead += draft.dead + buried
        self._used = used
        return appended, journalled

    def sweep(self, older_than: float) -> int:
        """Remove up to 500 deliveries settled before `older_than`, or the oldest settled when space is short.

        Pending and dead ones are never removed, and ids stay. The next call goes on behind the last that
        went, until one gives 0. Gives how many went; raises `Unavailable`.
        """
        short = self._used >= self._max_size - 2 * self._reserve
        try:
            settled = rows(
                self._connection,
                "SELECT number, settled_at FROM deliveries WHERE number > ? "
                "AND status IN ('published', 'dropped') ORDER BY number LIMIT ?",
                (self._swept, SWEEP_ROWS),
            )
            gone = [(number,) for number, settled_at in settled if short or settled_at < older_than]
            with self._connection:
                self._connection.executemany("DELETE FROM records WHERE number = ?", gone)
                self._connection.executemany("DELETE FROM deliveries WHERE number = ?", gone)
                used = self._measure()
        except apsw.Error as error:
            msg = f"the spool could not be swept: {error}"
            raise Unavailable(msg) from error
        self._swept = gone[-1][0] if gone else 0
        self._used = used
        return len(gone)

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
            with self._connection:
                self._connection.execute("DELETE FROM flights WHERE id > ?", (last_flight,))
                self._connection.execute("DELETE FROM deliveries WHERE number > ?", (last_number,))
                self._connection.execute("DELETE FROM ids WHERE number > ?", (last_number,))
                self._connection.pragma("user_version", SCHEMA_VERSION)
        except apsw.Error as error:
            msg = f"the spool could not be written: {error}"
            raise Unavailable(msg) from error

    def bound_log(self) -> None:
        """Fold the write-ahead log into the database when the keeper could not keep up with it.

        Leaves it as it is while somebody reads it for longer than a moment. Raises `Unavailable`.
        """
        self._connection.set_busy_timeout(BOUND_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return
        except apsw.Error as error:
            msg = f"the spool could not be written: {error}"
            raise Unavailable(msg) from error
        finally:
            self._connection.set_busy_timeout(BUSY_MS)

    def close(self) -> None:
        """Close the file; the log is folded into the database."""
        self._connection.close()

    def _journal(self, journal: Journal, now: float) -> Journalled:
        self._connection.executemany(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
            [(s.number, s.topic, s.partition, s.offset, s.reason, s.detail) for s in journal.settlements],
        )
        self._connection.executemany("DELETE FROM flights WHERE id = ?", [(id_,) for id_ in journal.landed])
        flights = tuple(self._record_flight(flight) for flight in journal.flights)
        done = [self._finish(verdict, now) for verdict in self._verdicts(journal.settlements)]
        done += [self._finish(self._weigh(verdict), now) for verdict in journal.verdicts]
        return Journalled(flights, tuple(one for one in done if one))

    def _record_flight(self, flight: Flight) -> Flight:
        self.last_flight += 1
        flight = replace(flight, id=self.last_flight)
        self._connection.execute(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                flight.id, flight.topic, flight.partition, flight.cluster, flight.producer_id,
                flight.producer_epoch, flight.base_sequence, flight.sent_at, msgspec.msgpack.encode(flight.items),
            ),
        )  # fmt: skip
        return flight

    def _verdicts(self, settlements: Sequence[Settlement]) -> Iterator[Verdict]:
        """Give the deliveries whose records are all settled now: dead when one of them is."""
        for settled in settlements:
            if len(settled.topics) == 1:
                status = Status.DEAD if settled.reason else Status.PUBLISHED
                yield Verdict(settled.number, status, settled.reason, settled.detail)
                continue
            records = self._records(settled.number)
            if records.keys() >= set(settled.topics):
                yield self._weigh(Verdict(settled.number, Status.PUBLISHED))

    def _weigh(self, verdict: Verdict) -> Verdict:
        """Let the records that are settled speak before the rules: dead if one is, else published."""
        records = self._records(verdict.number)
        for reason, detail in records.values():
            if reason:
                return Verdict(verdict.number, Status.DEAD, Reason(reason), detail)
        return Verdict(verdict.number, Status.PUBLISHED) if records else verdict

    def _records(self, number: int) -> dict[str, tuple[str | None, str | None]]:
        query = "SELECT topic, reason, detail FROM records WHERE number = ?"
        return {topic: (reason, detail) for topic, reason, detail in rows(self._connection, query, (number,))}

    def _finish(self, verdict: Verdict, now: float) -> Done | None:
        """Give a pending delivery its end; None when it had one already."""
        self._connection.execute(
            "UPDATE deliveries SET status = ?, reason = ?, detail = ?, settled_at = ? "
            "WHERE number = ? AND status = 'pending'",
            (verdict.status, verdict.reason, verdict.detail, now, verdict.number),
        )
        return Done(verdict.number, verdict.status, verdict.reason) if self._connection.changes() else None

    def _count_log(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        self.log_frames = frames
        return apsw.SQLITE_OK

    def _measure(self) -> int:
        used = self._connection.pragma("page_count") - self._connection.pragma("freelist_count")
        return int(used * PAGE_SIZE)

    def _count(self, query: str) -> int:
        return int(rows(self._connection, query)[0][0])

    def _sizes(self, numbers: Iterable[int]) -> int:
        query = f"SELECT {SIZE} FROM deliveries WHERE number = ?"  # noqa: S608 - constant
        return sum(size for number in numbers for (size,) in rows(self._connection, query, (number,)))

    def _roll_back(self) -> None:
        with suppress(apsw.Error):  # what counts is the error before; the file is opened anew after it
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
