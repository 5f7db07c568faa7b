"""Draft: the appends of one transaction, before they are known to be on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay.core.errors import Cause, Reason, Unavailable
from relay.core.model import Mirror, Status
from relay.spool.file import REASON, rows
from relay.spool.identity import conflict_digest_of, copy_digest_of, digest_of
from relay.spool.mirrors import Mirrors
from relay.spool.replays import Replays
from relay.spool.values import Appended, Entry
from relay.spool.words import reason_of, status_of

if TYPE_CHECKING:
    import apsw

    from relay.core.model import Copy
    from relay.spool.memory import Unread
    from relay.spool.recent import RecentIds
    from relay.spool.values import Usage

ROW_OVERHEAD = (
    512  # bytes a row takes beside what the sender wrote, its share of the index and of `ids` included; rounded up
)
RECORD_OVERHEAD = 48  # bytes a row of `records` takes beside its topic
BODY_SIZE = "(SELECT length(body) FROM bodies WHERE bodies.number = deliveries.number)"
# As `_size`, for a stored row; the length of a text would end at its first NUL.
SIZE = f"{BODY_SIZE} + length(CAST(event_id AS BLOB)) + coalesce(length(CAST(type AS BLOB)), 0) + {ROW_OVERHEAD}"

INSERT_DELIVERY = (
    "INSERT INTO deliveries (number, source, event_id, type, received_at, key_id, signature, traceparent, status, "
    "reason, detail, settled_at, owed, answered, answered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_BODY = "INSERT INTO bodies (number, body) VALUES (?, ?)"
INSERT_ID = "INSERT INTO ids (number, digest, fingerprint, accepted_at) VALUES (?, ?, ?, ?)"
REPEAT = "UPDATE deliveries SET repeats = repeats + 1, repeated_at = ? WHERE number = ?"


class Draft:
    """Decides what each entry of a transaction is, and collects the rows to write.

    Numbers are given from `next_number` on. Memory that outlives the transaction is only read here:
    `ids` and the sums are taken over by the store once the commit has returned. `dead` is in bytes,
    `buried` counts those.
    """

    def __init__(self, connection: apsw.Connection, recent: RecentIds | Unread, next_number: int, usage: Usage) -> None:
        """Start with no entries."""
        self._connection = connection
        self._recent = recent
        self._next_number = next_number
        self._usage = usage
        self._rows: list[tuple[apsw.SQLiteValue, ...]] = []
        self._bodies: list[tuple[int, bytes]] = []
        self._repeats: list[tuple[float, int]] = []
        self._entries: list[Entry] = []
        self._replays = Replays(connection)
        self._mirrors = Mirrors(connection)
        self._places: dict[bytes, int] = {}  # digest -> place in `ids`
        self.ids: list[tuple[int, bytes, bytes, float]] = []
        self.size = self.dead = self.pending = self.owed = self.buried = 0

    def append(self, entry: Entry, now: float) -> Appended | Unavailable:
        """Take an entry, or say what it repeats, or why it cannot be taken."""
        if entry.copy:
            return self._copy(entry, entry.copy, now)
        digest = digest_of(entry.delivery.source, entry.dedupe_id)
        first = self._first(digest)
        if first and first[1] != entry.fingerprint:
            digest = conflict_digest_of(entry.delivery.source, entry.dedupe_id, entry.fingerprint)
            detail = f"delivery {first[0]} has the same id with another type or content"
            entry = replace(entry, status=Status.DEAD, reason=Reason.ID_CONFLICT, detail=detail)
            first = self._first(digest)
        if first:
            self._repeats.append((now, first[0]))
            return self._duplicate(first[0])
        return self._refusal(entry) or self._take(entry, digest, now)

    def write(self, now: float) -> None:
        """Write the rows. Raises `apsw.Error`."""
        if self._rows:
            self._connection.executemany(INSERT_DELIVERY, self._rows)
            self._connection.executemany(INSERT_BODY, self._bodies)
            self._connection.executemany(INSERT_ID, self.ids)
            self._replays.write(now)
            self._mirrors.write()
        if self._repeats:
            self._connection.executemany(REPEAT, self._repeats)

    @property
    def freed(self) -> list[int]:
        """The dead letters that their replays set free."""
        return self._replays.freed

    def _first(self, digest: bytes) -> tuple[int, bytes] | None:
        """Find who has this id already: its number and fingerprint."""
        if (place := self._places.get(digest)) is not None:
            return self.ids[place][0], self.ids[place][2]
        for number in self._recent.find(digest):
            query = "SELECT fingerprint FROM ids WHERE number = ? AND digest = ?"
            for (fingerprint,) in rows(self._connection, query, (number, digest)):
                return number, fingerprint
        return None

    def _copy(self, entry: Entry, copy: Copy, now: float) -> Appended | Unavailable:
        """Take a copy, which repeats on purpose, once."""
        number, withdrew = self._next_number + len(self.ids), False
        if isinstance(copy, Mirror):
            if refusal := self._mirrors.refusal(copy) or self._refusal(entry):
                return refusal
            self._mirrors.take(number, copy)
        else:
            refused = self._replays.refusal(copy, again=entry.again, of_dead=entry.of_dead)
            if refusal := refused or self._refusal(entry):
                return refusal
            withdrew = self._replays.take(number, copy)
        return replace(self._take(entry, copy_digest_of(entry.delivery.source, number), now), withdrew=withdrew)

    def _duplicate(self, number: int) -> Appended:
        if number >= self._next_number:
            first = self._entries[number - self._next_number]
            return Appended(number, first.status, first.reason, first.detail, duplicate=True)
        query = f"SELECT status, {REASON}, detail FROM deliveries WHERE number = ?"  # noqa: S608 - constant
        for status, reason, detail in rows(self._connection, query, (number,)):
            return Appended(number, status_of(status), reason_of(reason), detail, duplicate=True)
        # Only what was published or dropped leaves the file before its id is forgotten.
        return Appended(number, Status.PUBLISHED, None, None, duplicate=True)

    def _refusal(self, entry: Entry) -> Unavailable | None:
        usage = self._usage
        if usage.used + self.size + _size(entry) + _owed(entry) > usage.max_size - usage.reserve:
            return Unavailable("the spool is full", retry_after=5, cause=Cause.SPOOL_FULL)
        if entry.status is Status.DEAD and usage.dead + self.dead + _size(entry) > usage.dead_quota:
            return Unavailable("the dead letters fill their quota", retry_after=60, cause=Cause.DEAD_QUOTA)
        return None

    def _take(self, entry: Entry, digest: bytes, now: float) -> Appended:
        number = self._next_number + len(self.ids)
        owed = _owed(entry)
        self.size += _size(entry) + owed
        self.owed += owed
        self.dead += _size(entry) if entry.status is Status.DEAD else 0
        self.buried += entry.status is Status.DEAD
        self.pending += entry.status is Status.PENDING
        self._places[digest] = len(self.ids)
        self.ids.append((number, digest, entry.fingerprint, now))
        self._entries.append(entry)
        self._rows.append(_row(number, entry, now, owed))
        self._bodies.append((number, entry.delivery.body))
        return Appended(number, entry.status, entry.reason, entry.detail)


def _size(entry: Entry) -> int:
    """Estimate the bytes that an entry takes in the file; `store` measures them after the commit."""
    return len(entry.delivery.body) + len(entry.event_id.encode()) + len((entry.type or "").encode()) + ROW_OVERHEAD


def _owed(entry: Entry) -> int:
    """Estimate the bytes that settling an entry's records will take: a row for each, in pages that may be half full."""
    if entry.status is not Status.PENDING:
        return 0
    size = 0
    for topic in entry.topics:
        size += 2 * (len(topic) + RECORD_OVERHEAD)
    return size


def _row(number: int, entry: Entry, now: float, owed: int) -> tuple[apsw.SQLiteValue, ...]:
    delivery = entry.delivery
    # What is at its end already is answered when this commit returns.
    ended = (None, None, None) if entry.status is Status.PENDING else (now, str(entry.status), now)
    return (
        number,
        delivery.source,
        entry.event_id,
        entry.type,
        delivery.received_at,
        delivery.key_id,
        delivery.signature,
        delivery.traceparent,
        entry.status,
        entry.reason,
        entry.detail,
        ended[0],
        owed,
        *ended[1:],
    )
