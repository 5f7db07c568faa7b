"""The taking back of what a commit that was reported as failed may have left in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.spool import totals

if TYPE_CHECKING:
    import apsw

# A dead letter is dropped as replayed together with its replay, and so comes back when that goes; unless an earlier
# replay of it stands, which was the one that took its place.
REVIVE = (
    "UPDATE deliveries SET status = 'dead', withdrawn = NULL WHERE withdrawn = 'replayed' "
    "AND number IN (SELECT replay_of FROM deliveries WHERE number > ?1) "
    "AND number NOT IN (SELECT replay_of FROM deliveries WHERE replay_of IS NOT NULL AND number <= ?1)"
)


def take_back(connection: apsw.Connection, last_number: int, last_flight: int) -> None:
    """Remove the deliveries and flights behind those that are known to be written, which nobody was told of.

    Raises `apsw.Error`.
    """
    connection.execute("DELETE FROM flights WHERE id > ?", (last_flight,))
    connection.execute(REVIVE, (last_number,))
    totals.take_back(connection, last_number, revived=connection.changes())
    connection.execute("UPDATE deliveries SET mirrored = NULL WHERE mirrored > ?", (last_number,))
    for table in ("deliveries", "bodies", "records", "ids"):
        connection.execute(f"DELETE FROM {table} WHERE number > ?", (last_number,))  # noqa: S608 - names above
