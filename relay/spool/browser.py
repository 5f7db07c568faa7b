"""Browser: the spool's file for verbs: what is kept, page by page, and which ids are known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from relay.core.model import Delivery, Status, Withdrawal
from relay.spool.file import KEPT, rows
from relay.spool.identity import conflict_digest_of, digest_of
from relay.spool.kept import Aloft, Kept, Known, Listed, Settled
from relay.spool.reader import FIELDS
from relay.spool.totals import read_totals
from relay.spool.view import View
from relay.spool.words import reason_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, Self

    import apsw

    from relay.spool.kept import Wanted

PAGE = 2_000  # deliveries looked at in one transaction
ID_PAGE = 500_000  # rows of `ids`, which are narrow
LISTED = (
    "number, source, event_id, type, received_at, status, reason, detail, settled_at, "
    "answered, answered_at, repeats, repeated_at, replay_of, target, withdrawn, because, "
    "mirror_of, mirrored"
)
INDEXED = (Status.PENDING, Status.DEAD)  # those that it finds

_items = msgspec.msgpack.Decoder(tuple[tuple[int, bytes], ...])


class Browser:
    """Looks at a spool read-only, beside a running relay or without one, in short transactions.

    Every method raises `Unavailable`. A list goes by number, so what comes or leaves meanwhile
    neither repeats nor hides anything else. The context manager closes the file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises `Unavailable` when there is none, or it is not a spool of this version."""
        self._view = View(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()

    def list(
        self, wanted: Wanted, *, after: int = 0, before: int | None = None, oldest_first: bool = False
    ) -> Iterator[Listed]:
        """Give the deliveries that are wanted and numbered in (`after`, `before`), newest first unless asked."""
        query = _Query(wanted, oldest_first=oldest_first)
        low, high = after + 1, (1 << 62) if before is None else before - 1
        while low <= high:
            start, stop = low, high
            found, edge = self._view.read(lambda connection: query.page(connection, start, stop))  # noqa: B023 - at once
            yield from found
            if edge is None:
                return
            low, high = (edge + 1, high) if oldest_first else (low, edge - 1)

    def find(self, number: int) -> Kept | None:
        """Give all that is kept of a delivery; None when it is not kept, or no longer."""
        return self._view.read(lambda connection: _find(connection, number))

    def last_number(self) -> int:
        """Give the number of the delivery accepted last; 0 before the first."""
        query = "SELECT coalesce(max(number), 0) FROM ids"
        return int(self._view.read(lambda connection: rows(connection, query))[0][0])

    def lost(self) -> int:
        """Count the deliveries that were lost with damaged files, of which nobody knows the end."""
        totals = self._view.read(read_totals)
        return totals.lost if totals else 0

    def known(self, number: int) -> Known | None:
        """Give what is remembered of a number, kept or not."""
        query = "SELECT number, accepted_at, fingerprint FROM ids WHERE number = ?"
        found = self._view.read(lambda connection: rows(connection, query, (number,)))
        return Known(*found[0]) if found else None

    def first_of(self, source: str, dedupe_id: str, remembered: int | None = None) -> Known | None:
        """Find the delivery that has this id already; among the last `remembered`, as the next append would, or all."""
        return self._by_digest(digest_of(source, _as_utf8(dedupe_id)), remembered)

    def conflict_of(
        self, source: str, dedupe_id: str, fingerprint: bytes, remembered: int | None = None
    ) -> Known | None:
        """Find the delivery that is kept for this very conflict with the first one of its id."""
        return self._by_digest(conflict_digest_of(source, dedupe_id, fingerprint), remembered)

    def _by_digest(self, digest: bytes, remembered: int | None) -> Known | None:
        query = "SELECT number, accepted_at, fingerprint FROM ids WHERE number > ? AND number <= ? AND digest = ?"
        high = self.last_number()
        oldest = self._view.read(lambda connection: rows(connection, "SELECT coalesce(min(number), 1) FROM ids"))[0][0]
        low = oldest - 1 if remembered is None else max(oldest - 1, high - remembered)
        while high > low:
            bounds = (max(low, high - ID_PAGE), high, digest)
            found = self._view.read(lambda connection: rows(connection, query, bounds))  # noqa: B023 - at once
            if found:
                return Known(*found[0])
            high -= ID_PAGE
        return None


class _Query:
    """A list's query: pages of so many deliveries, of which those that are wanted are given."""

    def __init__(self, wanted: Wanted, *, oldest_first: bool) -> None:
        status = Status.DEAD if wanted.reason and wanted.status is None else wanted.status
        # A partial index is taken only where its own condition stands in the query, word for word.
        kept = f"INDEXED BY kept WHERE {KEPT} AND status = '{status}' AND " if status in INDEXED else "WHERE "
        order = "ASC" if oldest_first else "DESC"
        edge = "max" if oldest_first else "min"
        conditions = {
            "status = ?": status,
            "type = ?": wanted.type,
            "source = ?": wanted.source,
            "event_id = ?": wanted.event_id,
            "reason = ?": wanted.reason,
            "received_at >= ?": wanted.since,
            "received_at < ?": wanted.until,
            "(SELECT instr(body, ?) FROM bodies WHERE bodies.number = deliveries.number) > 0": wanted.holding,
        }
        asked = {condition: value for condition, value in conditions.items() if value is not None}
        self._values = tuple(_as_utf8(value) if isinstance(value, str) else value for value in asked.values())
        self._edge = (
            f"SELECT {edge}(number) FROM (SELECT number FROM deliveries "  # noqa: S608 - constants
            f"{kept}number BETWEEN ? AND ? ORDER BY number {order} LIMIT {PAGE})"
        )
        self._page = (
            f"SELECT {LISTED} FROM deliveries {kept}number BETWEEN ? AND ? "  # noqa: S608 - constants
            f"{''.join(f'AND {condition} ' for condition in asked)}ORDER BY number {order}"
        )
        self._oldest_first = oldest_first

    def page(self, connection: apsw.Connection, low: int, high: int) -> tuple[list[Listed], int | None]:
        """Give what is wanted of the first page in [`low`, `high`], and where it ends; None behind the last."""
        edge = rows(connection, self._edge, (low, high))[0][0]
        if edge is None:
            return [], None
        low, high = (low, edge) if self._oldest_first else (edge, high)
        return [_listed(row) for row in rows(connection, self._page, (low, high, *self._values))], edge


def _as_utf8(text: str) -> str:
    """Give a text from the command line as UTF-8: a byte that is none becomes U+FFFD, as which hardly any is kept."""
    return text.encode(errors="surrogatepass").decode(errors="replace")


def _find(connection: apsw.Connection, number: int) -> Kept | None:
    listed = rows(connection, f"SELECT {LISTED} FROM deliveries WHERE number = ?", (number,))  # noqa: S608 - constant
    if not listed:
        return None
    query = f"SELECT {FIELDS}, body IS NULL FROM deliveries LEFT JOIN bodies USING (number) WHERE number = ?"  # noqa: S608 - constant
    ((_, source, body, *fields, swept),) = rows(connection, query, (number,))
    delivery = Delivery(source, body or b"", *fields)
    query = 'SELECT topic, partition, "offset", flight, reason, detail FROM records WHERE number = ? ORDER BY topic'
    records = tuple(
        Settled(topic, partition, offset, flight, reason_of(reason), detail)
        for topic, partition, offset, flight, reason, detail in rows(connection, query, (number,))
    )
    query = "SELECT topic, partition, id, sent_at, items FROM flights ORDER BY id"
    aloft = tuple(
        Aloft(*flight)
        for *flight, items in connection.execute(query)
        if any(item == number for item, _ in _items.decode(items))
    )
    accepted = rows(connection, "SELECT accepted_at FROM ids WHERE number = ?", (number,))
    accepted_at = accepted[0][0] if accepted else None
    query = "SELECT number FROM deliveries WHERE replay_of = ? ORDER BY number"
    replays = tuple(replay for (replay,) in rows(connection, query, (number,)))
    return Kept(_listed(listed[0]), delivery, bool(swept), accepted_at, records, aloft, replays)


def _listed(row: tuple[Any, ...]) -> Listed:
    listed = Listed(*row)
    return dataclasses.replace(
        listed,
        status=status_of(listed.status),
        reason=reason_of(listed.reason),
        withdrawn=Withdrawal(listed.withdrawn) if listed.withdrawn else None,
    )
