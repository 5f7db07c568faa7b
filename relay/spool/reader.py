"""Reader: what the spool's file says, read beside the writer. Used from the reader's thread alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
from msgspec.structs import replace

from relay.core.errors import Reason
from relay.core.model import Delivery, Mirror, Placed, Replay, Status
from relay.spool.failure import failure
from relay.spool.file import PENDING, REASON, UNMIRRORED, connect_reader, rows
from relay.spool.values import Dead, Fact, Flight, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from relay.core.errors import Unavailable
    from relay.core.model import Copy

PAGE_ROWS = 500
PAGE_BYTES = 1 << 20
MIRROR_ROWS = 50
FIELDS = "number, source, body, signature, key_id, received_at, traceparent"  # as the fields of Delivery stand
DELIVERY = f"{FIELDS} FROM deliveries JOIN bodies USING (number)"
STORED = f"{FIELDS}, replay_of, mirror_of, target, because FROM deliveries JOIN bodies USING (number)"
TO_MIRROR = (
    f"SELECT {FIELDS}, reason, detail FROM deliveries JOIN bodies USING (number) "  # noqa: S608 - constant
    f"WHERE {UNMIRRORED} AND number > ? AND source IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT ?"
)
FLIGHT = "id, topic, partition, cluster, producer_id, producer_epoch, base_sequence, sent_at, items"

FAULTS = (apsw.Error, ValueError)  # ValueError: what was read is none of ours

items_of = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...]).decode
"""Give a flight's items as they were journalled. Raises ValueError when they are none."""


class Reader:
    """Reads pages of pending deliveries, single deliveries, and flights. Raises `Unavailable`."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading."""
        self._connection = connect_reader(path)

    def page(self, after: int, until: int) -> list[Stored]:
        """Read the pending deliveries numbered in (`after`, `until`], in order: at most 500, at most about 1 MiB."""
        query = f"SELECT {STORED} WHERE {PENDING} AND number > ? AND number <= ? ORDER BY number LIMIT ?"
        found: list[tuple[Any, ...]] = []
        size = 0
        try:
            with self._connection:  # one snapshot for both tables
                for row in self._connection.execute(query, (after, until, PAGE_ROWS)):
                    found.append(row)
                    size += len(found[-1][2])
                    if size >= PAGE_BYTES:
                        break
                page = self._with_settled(found)
        except FAULTS as error:
            raise _unreadable(error) from error
        return page

    def load(self, numbers: Iterable[int]) -> dict[int, Stored]:
        """Read deliveries by number; one that is not there is left out."""
        query = f"SELECT {STORED} WHERE number = ?"
        try:
            with self._connection:
                found = [row for number in numbers for row in rows(self._connection, query, (number,))]
                loaded = {stored.number: stored for stored in self._with_settled(found)}
        except FAULTS as error:
            raise _unreadable(error) from error
        return loaded

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
        except FAULTS as error:
            raise _unreadable(error) from error
        for event_id, status, reason in found:
            return Fact(number, event_id, Status(status), Reason(reason) if reason else None, records)
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

    def _with_settled(self, found: list[tuple[Any, ...]]) -> list[Stored]:
        settled: dict[int, list[str]] = {}
        query = "SELECT number, topic FROM records WHERE number = ?"
        for row in found:
            for number, topic in rows(self._connection, query, (row[0],)):
                settled.setdefault(number, []).append(topic)
        return [
            Stored(number, Delivery(*delivery), tuple(settled.get(number, ())), _copy(*copy))
            for number, *delivery, copy in ((*row[:7], row[7:]) for row in found)
        ]


def _copy(replay_of: int | None, mirror_of: int | None, target: str, because: str) -> Copy | None:
    """Give what makes a row a copy, if it is one."""
    if mirror_of:
        reason, _, detail = because.partition(": ")
        return Mirror(mirror_of, target, reason, detail)
    return Replay(replay_of, target) if replay_of else None


def _unreadable(error: Exception) -> Unavailable:
    return failure("the spool could not be read", error)
