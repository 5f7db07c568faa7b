"""Room: how full the spool's file is, and what may still go in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from relay.core.model import Status
from relay.spool.draft import SIZE
from relay.spool.file import CHUNK, DEAD, PAGE_SIZE, PENDING, allot, rows
from relay.spool.totals import read_totals
from relay.spool.values import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.spool.values import Done


class Room:
    """Keeps count of the file's bytes: in use, owed to what is pending, and held by dead letters.

    The reserve lets flights and settlements go on, and so drain the spool, when it is full.
    """

    def __init__(self, connection: apsw.Connection, max_size: int) -> None:
        """Bound the file to `max_size` bytes, and learn what it holds, mostly from its totals. Raises `apsw.Error`."""
        self._connection = connection
        self._max_size = max_size
        self._reserve = max(64 * PAGE_SIZE, min(max_size // 10, 64 << 20))
        connection.pragma("max_page_count", max_size // PAGE_SIZE)
        totals = read_totals(connection)
        ((pending,),) = rows(connection, f"SELECT EXISTS (SELECT 1 FROM deliveries WHERE {PENDING})")  # noqa: S608 - constant
        if totals is None or bool(pending) != bool(totals.pending) or totals.owed < 0 or (totals.owed and not pending):
            raise apsw.CorruptError("the totals do not fit the rows")
        self.pending, self._owed = totals.pending, totals.owed
        query = f"SELECT count(*), coalesce(sum({SIZE}), 0) FROM deliveries WHERE {DEAD}"  # noqa: S608 - constant
        self._dead_letters: int
        ((self._dead_letters, self._dead),) = rows(connection, query)
        self._used = self.measure()
        self._allotted = 0
        self.limit: int | None = None

    @property
    def usage(self) -> Usage:
        """How full the file was after the last commit, and what it may hold: `limit`, when that is less."""
        size = self._max_size if self.limit is None else min(self._max_size, self.limit)
        used = self._used + self._owed
        return Usage(used, size, self._reserve, self._dead, self._max_size // 4, self._dead_letters)

    def measure(self) -> int:
        """Measure the bytes in use, those of the transaction under way included."""
        used = self._connection.pragma("page_count") - self._connection.pragma("freelist_count")
        return int(used * PAGE_SIZE)

    def allot(self) -> None:
        """Have the disk allot what the database will take once its log is folded into it. Raises `apsw.FullError`.

        Without, a log that cannot be folded any more could neither grow nor begin anew on a full disk, and
        what is pending could not drain.
        """
        size = self._connection.pragma("page_count") * PAGE_SIZE
        if size <= self._allotted:
            return
        try:
            allot(self._connection, size)
        except apsw.Error as error:
            raise apsw.FullError(f"no room to grow to {size} bytes") from error
        self._allotted = -(-size // CHUNK) * CHUNK

    def buried(self, done: Iterable[Done]) -> int:
        """Measure the bytes that become those of dead letters with these ends."""
        return self.sizes(one.number for one in done if one.status is Status.DEAD)

    def sizes(self, numbers: Iterable[int]) -> int:
        """Measure the bytes that deliveries take."""
        query = f"SELECT {SIZE} FROM deliveries WHERE number = ?"  # noqa: S608 - constant
        return sum(size for number in numbers for (size,) in rows(self._connection, query, (number,)))

    def take(self, used: int, *, pending: int = 0, owed: int = 0, dead: int = 0, dead_letters: int = 0) -> None:
        """Adopt what a transaction that is on disk has changed: the bytes in use, and how the sums have moved."""
        self._used = used
        self.pending += pending
        self._owed += owed
        self._dead += dead
        self._dead_letters += dead_letters
