"""Memory: the ids among which a repeat is recognised, as the file has them and as they stand in memory."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from relay.spool.file import count, rows
from relay.spool.identity import digest_of
from relay.spool.recent import HASH_BYTES, RecentIds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from relay.spool.values import Entry, Journal

WARM = 5_000  # what was appended within the last so many deliveries is in memory still
PIECE = 100_000  # ids read at a time
FORGET_IDS = 1_000  # ids beyond the horizon leave the file so many at a time


class Memory:
    """The last so many ids, read from the file when they are first asked for; then in step with each commit.

    A million take most of a second to read, which a start need not wait for. Used from the writer's
    thread alone, but for what is there already. What reads raises `apsw.Error`.
    """

    def __init__(
        self, connection: apsw.Connection, capacity: int, last_number: int, recent: RecentIds | None = None
    ) -> None:
        """Remember the `capacity` ids up to `last_number`; `recent` has them, when they were read already."""
        self._connection = connection
        self._capacity = capacity
        self._last_number = last_number
        self._oldest_in_file = count(connection, "SELECT coalesce(min(number), 0) FROM ids")
        self.recent = recent

    @property
    def horizon(self) -> tuple[int, int | None]:
        """How many ids are remembered, and the oldest number among them; none before they were read."""
        return (len(self.recent), self.recent.oldest) if self.recent else (0, None)

    def recall(self) -> RecentIds:
        """Give the ids remembered; the first time they are read."""
        if self.recent is None:
            recent = RecentIds(self._capacity)
            recent.fill(self._last_number, hashes(self._connection, self._last_number, self._capacity))
            self.recent = recent
        return self.recent

    def is_warm(self, last_number: int, entries: Sequence[Entry], journals: Sequence[Journal]) -> bool:
        """Tell whether all that these touch stands in memory, up to the delivery `last_number`."""
        bound, recent = last_number - WARM, self.recent
        return (
            recent is not None
            and not any(
                entry.copy or recent.may_have(digest_of(entry.delivery.source, entry.dedupe_id)) for entry in entries
            )
            and all(settled.number > bound for journal in journals for settled in journal.settlements)
            and all(told.number > bound for journal in journals for told in journal.answers)
            and not any(journal.verdicts or journal.discards for journal in journals)
        )

    def since(self) -> float | None:
        """Read when the oldest id remembered was accepted, in seconds since the epoch; None when there is none."""
        found = rows(self._connection, "SELECT accepted_at FROM ids WHERE number = ?", (self.recall().oldest,))
        return found[0][0] if found else None

    def forget(self, last_number: int) -> None:
        """Let ids before the horizon leave the file, within the transaction; memory has forgotten each already."""
        horizon = last_number - self._capacity
        if horizon - self._oldest_in_file >= min(FORGET_IDS, self._capacity):
            self._connection.execute("DELETE FROM ids WHERE number <= ?", (horizon,))
            self._oldest_in_file = horizon + 1


def hashes(connection: apsw.Connection, last_number: int, most: int) -> bytes:
    """Read the hashes of the last ids up to a number, at `most` so many, in order, one behind the other.

    Many in one value, as making a row of each takes seconds for a million. They are put together in the
    order of the rows that come; asked for in the aggregate itself, SQLite would sort what is in order.
    """
    digest = f"substr(hex(digest) || '{HASH_BYTES * '00'}', 1, {2 * HASH_BYTES})"  # also of a damaged one so much
    query = (
        f"SELECT coalesce(group_concat({digest}, ''), '') FROM "  # noqa: S608 - constant
        "(SELECT digest FROM ids WHERE number > ? AND number <= ? ORDER BY number)"
    )
    edges = [*range(max(0, last_number - most), last_number, PIECE), last_number]
    return b"".join(bytes.fromhex(rows(connection, query, piece)[0][0]) for piece in pairwise(edges))
