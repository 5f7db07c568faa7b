"""Reader: what the spool's file says, read beside the writer. Used from the reader's thread alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import apsw
import msgspec
from msgspec.structs import replace

from relay.core.model import Delivery, Mirror, Placed, Replay
from relay.spool.failure import failure
from relay.spool.file import PENDING, REASON, UNMIRRORED, connect_reader, rows
from relay.spool.values import Dead, Fact, Flight, Stored
from relay.spool.words import reason_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from relay.core.errors import Unavailable
    from relay.core.model import Copy

PAGE_ROWS = 500
PAGE_BYTES = 1 << 20
MIRROR_ROWS = 50
FIELDS = "number, source, body, signature, key_id, received_at, traceparent"  # as the fields of Delivery stand
# Which rows is decided before bodies are looked at: joined first, SQLite sorts all that is pending for each page.
# All rows in one value: between two of them SQLite's caller gives up Python's lock, and gets it back from a busy loop
# after milliseconds only. JSON has no bytes, hence the digits; and a damaged row may have them where there was text.
STORED = """
    SELECT json_group_array(json_array(
        number, CAST(source AS TEXT), hex(body), CAST(signature AS TEXT), CAST(key_id AS TEXT),
        CAST(received_at AS REAL), CAST(traceparent AS TEXT),
        json_array(replay_of, mirror_of, CAST(target AS TEXT), CAST(because AS TEXT)),
        json((SELECT json_group_array(CAST(topic AS TEXT)) FROM records WHERE records.number = deliveries.number))
    ) ORDER BY number) FROM deliveries JOIN bodies USING (number) WHERE number IN
"""
PAGE = f"""(
    SELECT number FROM (SELECT number, sum(size) OVER (ORDER BY number) - size AS before FROM (
        SELECT number, length(body) AS size FROM (
            SELECT number FROM deliveries WHERE {PENDING} AND number > ? AND number <= ?
            AND (SELECT 1 FROM bodies WHERE bodies.number = deliveries.number) ORDER BY number LIMIT ?
        ) JOIN bodies USING (number)
    )) WHERE before < ?
)"""  # noqa: S608 - constant
TO_MIRROR = (
    f"SELECT {FIELDS}, reason, detail FROM deliveries JOIN bodies USING (number) WHERE number IN ("  # noqa: S608 - constant
    f"SELECT number FROM deliveries WHERE {UNMIRRORED} AND number > ? AND source IN (SELECT value FROM json_each(?)) "
    "ORDER BY number LIMIT ?) ORDER BY number"
)
FLIGHT = "id, topic, partition, cluster, producer_id, producer_epoch, base_sequence, sent_at, items"

FAULTS = (apsw.Error, ValueError, TypeError)  # the last two: what was read is none of ours

items_of = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...]).decode
"""Give a flight's items as they were journalled. Raises ValueError when they are none."""


class Reader:
    """Reads pages of pending deliveries, single deliveries, and flights. Raises `Unavailable`."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading."""
        self._connection = connect_reader(path)

    def page(self, after: int, until: int) -> list[Stored]:
        """Read the pending deliveries numbered in (`after`, `until`], in order: at most 500, at most about 1 MiB."""
        return self._stored(PAGE, (after, until, PAGE_ROWS, PAGE_BYTES))

    def load(self, numbers: Iterable[int]) -> dict[int, Stored]:
        """Read deliveries by number; one that is not there is left out."""
        found = self._stored("(SELECT value FROM json_each(?))", (json.dumps(tuple(numbers)),))
        return {stored.number: stored for stored in found}

    def fact(self, number: int) -> Fact | None:
        """Read what became of one delivery; None when its row was swept."""
        try:
            with self._connection:
                query = f"SELECT event_id, status, {REASON} FROM deliveries WHERE number = ?"  # noqa: S608 - constant
                found = rows(self._connection, query, (number,))
                query = (
                    'SELECT topic, partition, "offset" FROM records WHERE number = ? AND reason IS NULL ORDER BY topic'
                )
                records = tuple(Placed(*row) for row in rows(self._connection, query, (number,)))
            for event_id, status, reason in found:
                return Fact(number, event_id, status_of(status), reason_of(reason), records)
        except FAULTS as error:
            raise _unreadable(error) from error
        return None

    def unmirrored(self, after: int, sources: Sequence[str]) -> list[Dead]:
        """Read dead letters of these sources above number `after` that are not mirrored, in order, a bounded piece."""
        try:
            found = rows(self._connection, TO_MIRROR, (after, json.dumps(sources), MIRROR_ROWS))
        except FAULTS as error:
            raise _unreadable(error) from error
        return [Dead(row[0], Delivery(*row[1:7]), row[7], row[8] or "") for row in found]

    def pending_since(self) -> float | None:
        """Read when the oldest pending delivery came in; None when there is none."""
        query = f"SELECT received_at FROM deliveries WHERE {PENDING} ORDER BY number LIMIT 1"  # noqa: S608 - constant
        try:
            found = rows(self._connection, query)
        except FAULTS as error:
            raise _unreadable(error) from error
        return found[0][0] if found else None

    def flights(self) -> list[Flight]:
        """Read all flights, in the order in which they were journalled."""
        try:
            found = rows(self._connection, f"SELECT {FLIGHT} FROM flights ORDER BY id")  # noqa: S608 - constant
            return [replace(Flight(*row), items=items_of(row[8])) for row in found]
        except FAULTS as error:
            raise _unreadable(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _stored(self, which: str, bindings: tuple[apsw.SQLiteValue, ...]) -> list[Stored]:
        try:
            ((found,),) = rows(self._connection, STORED + which, bindings)
            return [
                Stored(number, Delivery(source, bytes.fromhex(body), *delivery), tuple(settled), _copy(*copy))
                for number, source, body, *delivery, copy, settled in msgspec.json.decode(found)
            ]
        except FAULTS as error:
            raise _unreadable(error) from error


def _copy(replay_of: int | None, mirror_of: int | None, target: str, because: str | None) -> Copy | None:
    """Give what makes a row a copy, if it is one."""
    if mirror_of:
        reason, _, detail = (because or "").partition(": ")  # a damaged row may have none
        return Mirror(mirror_of, target, reason, detail)
    return Replay(replay_of, target) if replay_of else None


def _unreadable(error: Exception) -> Unavailable:
    return failure("the spool could not be read", error)
