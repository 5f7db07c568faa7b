"""Sweep: what leaves the spool's file, a piece at a time. Used from the writer's thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.spool import totals
from relay.spool.file import rows

if TYPE_CHECKING:
    import apsw

SWEEP_ROWS = 500


class Sweep:
    """Goes through the settled deliveries from the oldest on, and begins anew when it has come to its end."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Begin with the oldest."""
        self._connection = connection
        self._swept = 0

    def deliveries(self, older_than: float, *, short: bool) -> int:
        """Remove deliveries settled before `older_than`, or whenever when space is `short`; say how many went.

        Pending and dead ones are never touched. Raises `apsw.Error`.
        """
        query = (
            "SELECT number, settled_at FROM deliveries "
            "WHERE number > ? AND status IN ('published', 'dropped') ORDER BY number LIMIT ?"
        )
        settled = rows(self._connection, query, (self._swept, SWEEP_ROWS))
        gone = [(number,) for number, settled_at in settled if short or settled_at < older_than]
        for table in ("records", "bodies", "deliveries"):
            self._connection.executemany(f"DELETE FROM {table} WHERE number = ?", gone)  # noqa: S608 - names above
        totals.sweep(self._connection, (at for _, at in settled if short or at < older_than))
        self._swept = gone[-1][0] if gone else 0
        return len(gone)

    def ids(self, last_number: int) -> int:
        """Remember less: ids older than every delivery kept, and never the last one; say how many went."""
        query = (
            "DELETE FROM ids WHERE number IN (SELECT number FROM ids "
            "WHERE number < (SELECT coalesce(min(number), ?) FROM deliveries) ORDER BY number LIMIT ?)"
        )
        self._connection.execute(query, (last_number, SWEEP_ROWS))
        return int(self._connection.changes())
