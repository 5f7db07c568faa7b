"""Census: every row of the spool's file, streamed beside a running relay or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from relay.core.model import Placed
from relay.spool.file import rows
from relay.spool.totals import read_totals
from relay.spool.view import View
from relay.spool.words import status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    import apsw

    from relay.core.errors import Reason
    from relay.core.model import Status
    from relay.spool.totals import Totals

PAGE = 2_000  # deliveries read in one transaction
ID_PAGE = 100_000  # rows of `ids`, which are narrow


class Tally(NamedTuple):
    """The totals of one moment: as of the last commit, as of the relay's start, and the last number given."""

    now: Totals
    started: Totals | None
    last_number: int
    ids_forgotten: bool


class Row(NamedTuple):
    """One delivery as it stands in the spool, with where its records are in Kafka.

    `copy` is the number of the delivery that it repeats, as a replay or as the `mirror` of a dead letter.
    """

    number: int
    source: str
    event_id: str
    status: Status
    reason: Reason | None
    places: tuple[Placed, ...]
    copy: int | None = None
    mirror: bool = False


class Census:
    """Reads a spool in pages, each in a transaction of its own, in bounded memory. Raises `Unavailable`.

    The context manager closes the file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises `Unavailable` when there is none, or it is not a spool of this version."""
        self._view = View(path)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._view.close()

    def tally(self) -> Tally:
        """Read the totals, all as of one commit."""
        return self._view.read(_tally)

    def deliveries(self, until: int, after: int = 0) -> Iterator[list[Row]]:
        """Give the deliveries numbered in (`after`, `until`], a page at a time, in order of acceptance."""
        while page := self._view.read(lambda connection: _page(connection, after, until)):  # noqa: B023 - at once
            yield page
            after = page[-1].number

    def digests(self) -> Iterator[list[bytes | None]]:
        """Give the digests of the ids remembered, a page at a time, in order of acceptance; None for a damaged one."""
        query = "SELECT number, iif(fingerprint = x'', NULL, digest) FROM ids WHERE number > ? ORDER BY number LIMIT ?"
        after = 0
        while page := self._view.read(lambda connection: rows(connection, query, (after, ID_PAGE))):  # noqa: B023 - at once
            yield [digest for _, digest in page]
            after = page[-1][0]

    def topics(self) -> set[str]:
        """Give the topics to which something is under way."""
        return {topic for (topic,) in self._view.read(lambda connection: rows(connection, "SELECT topic FROM flights"))}


def _tally(connection: apsw.Connection) -> Tally:
    now = read_totals(connection)
    if now is None:
        raise AssertionError("a spool of this version has its totals")
    ((first, last),) = rows(connection, "SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM ids")
    return Tally(now, read_totals(connection, started=True), last, first > 1)


def _page(connection: apsw.Connection, after: int, until: int) -> list[Row]:
    query = (
        "SELECT number, source, event_id, status, reason, coalesce(replay_of, mirror_of), mirror_of IS NOT NULL "
        "FROM deliveries "
        "WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
    )
    page = rows(connection, query, (after, until, PAGE))
    if not page:
        return []
    places: dict[int, list[Placed]] = {}
    query = (
        'SELECT number, topic, partition, "offset" FROM records WHERE number BETWEEN ? AND ? AND partition IS NOT NULL'
    )
    for number, *place in rows(connection, query, (page[0][0], page[-1][0])):
        places.setdefault(number, []).append(Placed(*place))
    return [
        Row(number, source, event_id, status_of(status), reason, tuple(places.get(number, ())), copy, bool(mirror))
        for number, source, event_id, status, reason, copy, mirror in page
    ]
