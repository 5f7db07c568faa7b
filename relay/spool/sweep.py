"""Sweep: what leaves the spool's file, a piece at a time. Used from the writer's thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.spool import totals
from relay.spool.file import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

SWEEP_ROWS = 500
AHEAD = 50_000  # numbers looked through at a time, which takes some ten milliseconds
SETTLED = "status IN ('published', 'dropped')"
BOUNDS = "SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM deliveries"


class Sweep:
    """Goes through what is settled from the oldest on, and begins anew when it has come to its end.

    Pending and dead deliveries are never touched. Each call says how many went, and raises `apsw.Error`.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Begin with the oldest."""
        self._connection = connection
        self._expired = self._swept = self._stripped = 0

    def expired(self, older_than: float) -> int:
        """Remove deliveries settled before `older_than`, with their records and bodies.

        A call looks at so many numbers only, and the next goes on behind them, also when nothing was found: those of a
        topic that was held for long are settled late, and hide no older ones behind them.
        """
        ((first, last),) = rows(self._connection, BOUNDS)
        start = max(self._expired, first - 1)
        query = (
            f"SELECT number, settled_at FROM deliveries WHERE number > ? AND number <= ? AND {SETTLED} "  # noqa: S608 - constant
            "AND settled_at < ? ORDER BY number LIMIT ?"
        )
        found = rows(self._connection, query, (start, start + AHEAD, older_than, SWEEP_ROWS))
        self._remove(found)
        behind = found[-1][0] if len(found) == SWEEP_ROWS else start + AHEAD
        self._expired = behind if behind < last else 0
        return len(found)

    def oldest(self) -> int:
        """Remove deliveries whenever they were settled, likewise."""
        query = f"SELECT number, settled_at FROM deliveries WHERE number > ? AND {SETTLED} ORDER BY number LIMIT ?"  # noqa: S608 - constant
        found = rows(self._connection, query, (self._swept, SWEEP_ROWS))
        self._remove(found)
        self._swept = found[-1][0] if found else 0
        return len(found)

    def _remove(self, found: Sequence[tuple[int, float]]) -> None:
        gone = [(number,) for number, _ in found]
        for table in ("records", "bodies", "deliveries"):
            self._connection.executemany(f"DELETE FROM {table} WHERE number = ?", gone)  # noqa: S608 - names above
        totals.sweep(self._connection, (at for _, at in found))

    def bodies(self) -> int:
        """Remove the bodies of settled deliveries, whose rows go on telling what became of them."""
        query = (
            "SELECT number FROM bodies CROSS JOIN deliveries USING (number) "  # noqa: S608 - constant
            f"WHERE number > ? AND {SETTLED} ORDER BY number LIMIT ?"
        )
        gone = rows(self._connection, query, (self._stripped, SWEEP_ROWS))
        self._connection.executemany("DELETE FROM bodies WHERE number = ?", gone)
        self._stripped = gone[-1][0] if gone else 0
        return len(gone)

    def ids(self, last_number: int) -> int:
        """Remember less: ids older than every delivery kept, and never the last one."""
        query = (
            "DELETE FROM ids WHERE number IN (SELECT number FROM ids "
            "WHERE number < (SELECT coalesce(min(number), ?) FROM deliveries) ORDER BY number LIMIT ?)"
        )
        self._connection.execute(query, (last_number, SWEEP_ROWS))
        return int(self._connection.changes())
