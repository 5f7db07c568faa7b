"""Memory: the ids among which a repeat is recognised, as the file has them and as they stand in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from relay.spool.file import count, rows
from relay.spool.identity import conflict_digest_of, digest_of
from relay.spool.recent import HASH_BYTES, RecentIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.spool.values import Entry, Journal

WARM = 5_000  # what was appended within the last so many deliveries is in memory still
PIECE = 50_000  # ids read at a time: what a commit may have to wait for
MOST_ASKED = 10_000  # ids looked for at a time in the file
FORGET_IDS = 1_000  # ids beyond the horizon leave the file so many at a time


class Memory:
    """The last so many ids: read from the file a piece at a time, until then looked for there; then in step with it.

    A million take most of a second to read, which neither a start nor who comes first need wait for. Used from the
    writer's thread alone, but for what is in memory already. What reads raises `apsw.Error`.
    """

    def __init__(
        self, connection: apsw.Connection, capacity: int, last_number: int, recent: RecentIds | None = None
    ) -> None:
        """Remember the `capacity` ids up to `last_number`; `recent` has them, when they were read already."""
        self._connection = connection
        self._capacity = capacity
        self._oldest_in_file = count(connection, "SELECT coalesce(min(number), 0) FROM ids")
        self._ids = recent
        # The last that was read; None once all are.
        self._read = None if recent is not None else max(self._oldest_in_file - 1, last_number - capacity, 0)

    @property
    def recent(self) -> RecentIds | None:
        """The ids remembered; None before all were read."""
        return self._ids if self._read is None else None

    @property
    def horizon(self) -> tuple[int, int | None]:
        """How many ids are remembered, and the oldest number among them; none before they were read."""
        recent = self.recent
        return (len(recent), recent.oldest) if recent else (0, None)

    def recall(self, last_number: int) -> bool:
        """Read the next of the ids up to a number into memory; True once all are there."""
        if self._read is None:
            return True
        if self._ids is None:
            self._ids = RecentIds(self._capacity)
        self.leave(last_number - self._capacity + 1)
        first, end = self._read + 1, min(self._read + PIECE, last_number)
        found = hashes(self._connection, self._read, end)
        if len(found) != HASH_BYTES * (end - self._read):
            raise apsw.CorruptError(f"ids from {first} to {end} are missing")
        self._ids.fill(first, found)
        self._read = end if end < last_number else None
        return self._read is None

    def ids(self, last_number: int, entries: Sequence[Entry]) -> RecentIds | Unread:
        """Give where the ids of these are found."""
        if (recent := self.recent) is not None:
            return recent
        asked = [(entry.delivery.source, entry.dedupe_id, entry.fingerprint) for entry in entries if not entry.copy]
        digests = [digest_of(source, known_by) for source, known_by, _ in asked]
        conflicts = [conflict_digest_of(*one) for one in asked]
        return Unread(self._connection, last_number - self._capacity, [*digests, *conflicts])

    def add(self, ids: Iterable[tuple[int, bytes]]) -> None:
        """Remember what has come into the file, by number and digest; what is not read yet is read with the rest."""
        if (recent := self.recent) is not None:
            for number, digest in ids:
                recent.add(number, digest)

    def leave(self, oldest: int) -> None:
        """Forget what is numbered before `oldest`."""
        if self._ids is not None:
            self._ids.forget(oldest)
        if self._read is not None:
            self._read = max(self._read, oldest - 1)

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
        """Read when the oldest id in memory was accepted, in seconds since the epoch; None when there is none.

        Of those that damage took it is not known.
        """
        query = "SELECT accepted_at FROM ids WHERE number >= ? AND accepted_at > 0 ORDER BY number LIMIT 1"
        found = rows(self._connection, query, (self.horizon[1],))
        return found[0][0] if found else None

    def forget(self, last_number: int) -> None:
        """Let ids before the horizon leave the file, within the transaction; memory has forgotten each already."""
        horizon = last_number - self._capacity
        if horizon - self._oldest_in_file >= min(FORGET_IDS, self._capacity):
            self._connection.execute("DELETE FROM ids WHERE number <= ?", (horizon,))
            self._oldest_in_file = horizon + 1


class Unread:
    """Finds ids in the file, as `RecentIds` does in memory: all that a transaction asks for in one look through it.

    That takes a third of a second for a million, so it is for the first moments only. Raises `apsw.Error`.
    """

    def __init__(self, connection: apsw.Connection, horizon: int, digests: Sequence[bytes]) -> None:
        """Look for these, among the numbers above `horizon`."""
        self._connection = connection
        self._horizon = horizon
        self._found: dict[bytes, list[int]] = {digest: [] for digest in digests}
        self._look(digests)

    def find(self, digest: bytes) -> Iterable[int]:
        """Give the numbers that have the id with this digest, which is one of those looked for."""
        return self._found[digest]

    def _look(self, digests: Sequence[bytes]) -> None:
        for start in range(0, len(digests), MOST_ASKED):
            asked = digests[start : start + MOST_ASKED]
            marks = ", ".join("?" * len(asked))
            query = f"SELECT number, digest FROM ids WHERE number > ? AND digest IN ({marks})"  # noqa: S608 - marks
            for number, digest in rows(self._connection, query, (self._horizon, *asked)):
                self._found[digest].append(number)


def hashes(connection: apsw.Connection, after: int, until: int) -> bytes:
    """Read the hashes of the ids numbered in (`after`, `until`], in order, one behind the other.

    Many in one value, as making a row of each takes seconds for a million. They are put together in the
    order of the rows that come; asked for in the aggregate itself, SQLite would sort what is in order.
    """
    digest = f"substr(hex(digest) || '{HASH_BYTES * '00'}', 1, {2 * HASH_BYTES})"  # also of a damaged one so much
    query = (
        f"SELECT coalesce(group_concat({digest}, ''), '') FROM "  # noqa: S608 - constant
        "(SELECT digest FROM ids WHERE number > ? AND number <= ? ORDER BY number)"
    )
    return bytes.fromhex(rows(connection, query, (after, until))[0][0])
