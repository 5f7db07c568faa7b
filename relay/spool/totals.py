"""Totals: how many deliveries were accepted and what became of them, counted in the commits that made it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relay.core.model import Status
from relay.spool.file import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from relay.spool.draft import Draft
    from relay.spool.values import Done

FIELDS = "accepted, published, dead, dropped, gone, departed, lost, made_at, swept_until, owed"
READ = f"SELECT {FIELDS} FROM totals WHERE moment = ?"  # noqa: S608 - constant
ADD = (
    "UPDATE totals SET accepted = accepted + ?, published = published + ?, dead = dead + ?, dropped = dropped + ?, "
    "owed = owed + ? WHERE moment = 'now'"
)
SWEEP = "UPDATE totals SET gone = gone + ?, swept_until = max(coalesce(swept_until, ?2), ?2) WHERE moment = 'now'"
TAKE_BACK = """
UPDATE totals SET accepted = accepted - lost.taken, published = published - lost.sent,
  dead = dead - lost.buried, dropped = dropped - lost.let_go, owed = owed - lost.freed
FROM (SELECT count(*) AS taken, count(*) FILTER (WHERE status = 'published') AS sent,
  count(*) FILTER (WHERE status = 'dead') AS buried, count(*) FILTER (WHERE status = 'dropped') AS let_go,
  coalesce(sum(owed) FILTER (WHERE status = 'pending'), 0) AS freed
  FROM deliveries WHERE number > ?) AS lost
WHERE moment = 'now'
"""
LOSE = "UPDATE totals SET lost = min(?1, departed), departed = max(departed - ?1, 0)"
MARK = f"INSERT OR REPLACE INTO totals (moment, {FIELDS}) SELECT 'started', {FIELDS} FROM totals WHERE moment = 'now'"  # noqa: S608 - constant
SINCE = (
    "SELECT now.accepted - began.accepted, now.published - began.published, now.dead - began.dead, "
    "now.dropped - began.dropped FROM totals AS now, totals AS began "
    "WHERE now.moment = 'now' AND began.moment = 'started'"
)
CARRY = (
    f"INSERT INTO totals (moment, {FIELDS}) SELECT 'started', accepted - ?, published - ?, dead - ?, dropped - ?, "  # noqa: S608 - constant
    "gone, departed, lost, made_at, swept_until, owed FROM totals WHERE moment = 'now'"
)


class Totals(msgspec.Struct, frozen=True):
    """Deliveries by what became of them, since the spool was made. What is in none of the ends is pending.

    `gone` of the published and dropped ones were swept. `departed` left before totals were kept, published or
    dropped; `lost` were lost with a damaged file, and nobody knows their end. Every record was sent after `made_at`;
    of those whose delivery was swept none was sent after `swept_until`, None while none was (seconds since the epoch).
    `owed` are the bytes that settling the pending ones will take.
    """

    accepted: int
    published: int
    dead: int
    dropped: int
    gone: int
    departed: int
    lost: int
    made_at: float
    swept_until: float | None
    owed: int = 0

    @property
    def settled(self) -> int:
        """Count those that came to their end."""
        return self.published + self.dead + self.dropped + self.departed

    @property
    def kept(self) -> int:
        """Count those whose rows stand in the spool."""
        return self.accepted - self.gone - self.departed - self.lost

    @property
    def pending(self) -> int:
        """Count those that did not."""
        return self.accepted - self.settled - self.lost


def read_totals(connection: apsw.Connection, *, started: bool = False) -> Totals | None:
    """Read the totals as of the last commit, or as of when the relay was `started`; None when it never was."""
    found = rows(connection, READ, ("started" if started else "now",))
    return Totals(*found[0]) if found else None


def count(
    connection: apsw.Connection, draft: Draft, finished: Sequence[Done], *, withdrawn: int, released: int
) -> None:
    """Count what a transaction appends, brings to its end, and withdraws from the dead, in it. Raises `apsw.Error`.

    `released` are the bytes owed no more to what came to its end.
    """
    ends = [done.status for done in finished]
    dead = draft.buried + ends.count(Status.DEAD) - withdrawn
    dropped = len(draft.ids) - draft.buried - draft.pending + ends.count(Status.DROPPED) + withdrawn
    if draft.ids or ends or withdrawn:
        owed = draft.owed - released
        connection.execute(ADD, (len(draft.ids), ends.count(Status.PUBLISHED), dead, dropped, owed))


def sweep(connection: apsw.Connection, settled_at: Iterable[float]) -> None:
    """Count published and dropped deliveries that leave, by when they were settled. Raises `apsw.Error`."""
    moments = list(settled_at)
    if moments:
        connection.execute(SWEEP, (len(moments), max(moments)))


def take_back(connection: apsw.Connection, last_number: int, *, revived: int) -> None:
    """Count the deliveries numbered above `last_number` no more, before they are removed. Raises `apsw.Error`.

    `revived` dead letters are dead again, since the replays for which they were dropped go.
    """
    connection.execute(TAKE_BACK, (last_number,))
    connection.execute(ADD, (0, 0, revived, -revived, 0))


def lose(connection: apsw.Connection, lost: int) -> None:
    """Note, on totals just counted, how many of those that are gone were lost. Raises `apsw.Error`."""
    connection.execute(LOSE, (lost,))


def mark_start(connection: apsw.Connection) -> None:
    """Note the totals as those with which the relay starts. Raises `apsw.Error`."""
    connection.execute(MARK)


def since_start(connection: apsw.Connection) -> tuple[int, ...] | None:
    """Read how many were accepted, published, dead and dropped since the start, None when none is marked.

    Raises `apsw.Error`.
    """
    found = rows(connection, SINCE)
    return found[0] if found else None


def carry_start(connection: apsw.Connection, since: tuple[int, ...]) -> None:
    """Mark, on totals just counted, a start `since` which that many came, as the metrics go on to count them.

    Raises `apsw.Error`.
    """
    connection.execute(CARRY, since)
