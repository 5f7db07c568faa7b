"""Sweep: what leaves the spool's file, a piece at a time. Used from the writer's thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.spool import totals
from relay.spool.file import rows

if TYPE_CHECKING:
    import apsw

SWEEP_ROWS = 500
SETTLED = "status IN ('published', 'dropped')"


class Sweep:
    """Goes through what is settled from the oldest on, and begins anew when it has come to its end.

    Pending and dead deliveries are never touched. Each call says how many went, and raises `apsw.Error`.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Begin with the oldest."""
        self._connection = connection
        self._swept = self._stripped = 0

    def deliveries(self, older_than: float | None) -> int:
        """Remove deliveries settled before `older_than`, with their records and bodies; None: whenever."""
        query = f"SELECT number, settled_at FROM deliveries WHERE number > ? AND {SETTLED} ORDER BY number LIMIT ?"  # noqa: S608 - constant
        settled = rows(self._connection, query, (self._swept, SWEEP_ROWS))
        gone = [(number,) for number, settled_at in settled if older_than is None or settled_at < older_than]
        for table in ("records", "bodies", "deliveries"):
            self._connection.executemany(f"DELETE FROM {table} WHERE number = ?", gone)  # noqa: S608 - names above
        totals.sweep(self._connection, (at for _, at in settled if older_than is None or at < older_than))
        self._swept = gone[-1][0] if gone else 0
        return len(gone)

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
