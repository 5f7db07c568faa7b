"""Reconciliation: what the spool says is in Kafka against what was read there, in a scratch file, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw

from relay.core.errors import Reason
from relay.core.model import Status
from relay.spool.identity import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from relay.spool.census import Row

CACHE_KIB = 65_536

SCHEMA = """
CREATE TABLE expected (topic TEXT, partition INTEGER, "offset" INTEGER, number INTEGER, id TEXT);
CREATE TABLE known (digest BLOB, remembered INTEGER, kept INTEGER);
CREATE TABLE found (
  topic TEXT, partition INTEGER, "offset" INTEGER, sent_at REAL, id TEXT, ours INTEGER, event BLOB,
  copied INTEGER, mirror INTEGER
);
CREATE TABLE copies (number INTEGER, copied INTEGER, mirror INTEGER, topic TEXT);
CREATE TABLE claims (found INTEGER, digest BLOB);
CREATE TABLE bounds (topic TEXT, partition INTEGER, first INTEGER, compacted INTEGER, PRIMARY KEY (topic, partition));
"""
INDEXES = """
CREATE INDEX known_digest ON known (digest);
CREATE INDEX found_place ON found (topic, partition, "offset");
CREATE INDEX found_id ON found (topic, partition, id);
CREATE INDEX claims_found ON claims (found);
CREATE INDEX found_event ON found (topic, event) WHERE ours;
CREATE INDEX copies_copied ON copies (copied, mirror);
"""
MISSING = """
SELECT e.topic, e.partition, e."offset", e.id, e.number FROM expected AS e
LEFT JOIN bounds AS b ON b.topic = e.topic AND b.partition = e.partition
WHERE NOT coalesce(b.compacted, 0) AND CASE
  WHEN e."offset" IS NULL THEN coalesce(b.first, 0) = 0 AND NOT EXISTS (
    SELECT 1 FROM found AS f WHERE f.topic = e.topic AND f.partition = e.partition AND f.id = e.id)
  ELSE e."offset" >= coalesce(b.first, 0) AND NOT EXISTS (
    SELECT 1 FROM found AS f
    WHERE f.topic = e.topic AND f.partition = e.partition AND f."offset" = e."offset" AND f.id = e.id)
  END
ORDER BY e.number, e.topic
"""
# Not to be held against Kafka: retained no more, maybe compacted away, or of no known offset in what is truncated.
BELOW = """
SELECT count(*) FROM expected AS e JOIN bounds AS b ON b.topic = e.topic AND b.partition = e.partition
WHERE b.compacted OR coalesce(e."offset" < b.first, b.first > 0)
"""
UNKNOWN = """
SELECT f.topic, f.partition, f."offset", f.id, NULL FROM found AS f
WHERE f.ours AND (
  NOT f.mirror AND f.sent_at > ? AND NOT EXISTS (
    SELECT 1 FROM claims AS c JOIN known AS k ON k.digest = c.digest WHERE c.found = f.rowid)
  OR f.copied IS NOT NULL AND f.sent_at > ? AND NOT EXISTS (
    SELECT 1 FROM copies AS c WHERE c.copied = f.copied AND c.mirror = f.mirror))
ORDER BY f.topic, f.partition, f."offset"
"""
UNJUDGED = "SELECT count(*) FROM found WHERE ours AND sent_at <= ?"
# An id that was accepted more than once, as its horizon had passed, may be there as often; a dead letter's mirror is
# there once. Copies are none of those that were accepted: they name the delivery that they repeat. A replay may be
# there as often as there are replays of it for that topic, or for topics that are not known yet (NULL).
DOUBLED = """
SELECT topic, min(partition), group_concat(partition || '/' || "offset", ', ' ORDER BY partition, "offset"), id, NULL
FROM found WHERE ours AND copied AND NOT mirror AND sent_at > ? GROUP BY topic, event, copied
HAVING count(*) > 1 AND count(*) > (
  SELECT count(*) FROM copies AS c
  WHERE c.copied = found.copied AND NOT c.mirror AND coalesce(c.topic, found.topic) = found.topic)
UNION ALL
SELECT topic, min(partition), group_concat(partition || '/' || "offset", ', ' ORDER BY partition, "offset"), id, NULL
FROM found WHERE ours AND (copied IS NULL OR mirror) AND sent_at > ? GROUP BY topic, event
HAVING count(*) > 1 AND count(*) > iif(mirror, 1, (
  SELECT max(1, coalesce(max(times), 1)) FROM (
    SELECT max(sum(k.remembered), sum(k.kept)) AS times FROM claims AS c JOIN known AS k ON k.digest = c.digest
    WHERE c.found = found.rowid GROUP BY c.digest)))
ORDER BY 1, 4
"""


class Found(NamedTuple):
    """A record as it was read: its place, when it was sent, and the event it claims to be.

    `source` is the URI and `claims` the (source's name, id) pairs under which the spool may know it; without any it is
    somebody else's. `event` is what two records of it share. `copied` is the number of the delivery that it repeats, as
    a replay or as the `mirror` of a dead letter.
    """

    topic: str
    partition: int
    offset: int
    sent_at: float
    id: str
    event: bytes
    claims: Sequence[tuple[str, str]]
    copied: int | None = None
    mirror: bool = False


class Discrepancy(NamedTuple):
    """One id that is not in Kafka as the spool says: `number` is its delivery, `places` are `partition/offset`."""

    topic: str
    places: str
    id: str
    number: int | None


class Reconciliation:
    """Takes in both sides, in any order and a page at a time, and then says where they differ."""

    def __init__(self, scratch: Path) -> None:
        """Make the scratch file, which must not exist; the caller removes it."""
        self._connection = apsw.Connection(str(scratch))
        for pragma, value in (("journal_mode", "off"), ("synchronous", "off"), ("cache_size", -CACHE_KIB)):
            self._connection.pragma(pragma, value)
        self._connection.execute(SCHEMA)
        self._horizon = self._copies_horizon = 0.0
        self._found = 0

    def remember(self, digests: Iterable[bytes]) -> None:
        """Take in ids that the spool remembers."""
        with self._connection:
            self._connection.executemany("INSERT INTO known VALUES (?, 1, 0)", ((digest,) for digest in digests))

    def expect(self, page: Iterable[Row]) -> None:
        """Take in deliveries that the spool holds; what it holds is known, also when its id is remembered no more."""
        with self._connection:
            for row in page:
                digest = digest_of(row.source, row.event_id)
                kept = row.reason != Reason.ID_CONFLICT and row.copy is None
                self._connection.execute("INSERT INTO known VALUES (?, 0, ?)", (digest, kept))
                self._connection.executemany(
                    "INSERT INTO expected VALUES (?, ?, ?, ?, ?)",
                    [(place.topic, place.partition, place.offset, row.number, row.event_id) for place in row.places],
                )
                self._note(row)

    def recognise(self, page: Iterable[Row]) -> None:
        """Take in deliveries that came while Kafka was read: which are copies, and of what."""
        with self._connection:
            for row in page:
                self._note(row)

    def _note(self, row: Row) -> None:
        if row.copy is None:
            return
        topics = [place.topic for place in row.places]
        unknown = [None] if row.status is Status.PENDING or not topics else []
        self._connection.executemany(
            "INSERT INTO copies VALUES (?, ?, ?, ?)",
            [(row.number, row.copy, row.mirror, topic) for topic in (*topics, *unknown)],
        )

    def find(self, batch: Iterable[Found]) -> None:
        """Take in records that were read."""
        with self._connection:
            for one in batch:
                self._found += 1
                self._connection.execute(
                    'INSERT INTO found (rowid, topic, partition, "offset", sent_at, id, ours, event, copied, mirror) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        self._found, one.topic, one.partition, one.offset, one.sent_at, one.id, bool(one.claims),
                        one.event, one.copied, one.mirror,
                    ),
                )  # fmt: skip
                self._connection.executemany(
                    "INSERT INTO claims VALUES (?, ?)", [(self._found, digest_of(*claim)) for claim in one.claims]
                )

    def bound(self, first: Mapping[tuple[str, int], int], compacted: Iterable[str]) -> None:
        """Take in the first retained offset of each partition, and the topics that keep only the last of each key."""
        thinned = set(compacted)
        with self._connection:
            self._connection.executemany(
                "INSERT INTO bounds VALUES (?, ?, ?, ?)",
                [(topic, partition, offset, topic in thinned) for (topic, partition), offset in first.items()],
            )

    def sort(self, horizon: float, copies_horizon: float) -> None:
        """Make ready to be asked, when all is taken in.

        `horizon` is the time (seconds since the epoch) before which a record may belong to a delivery that the
        spool no longer remembers: such a record is not judged. `copies_horizon` is that of copies, which nothing but
        their rows tells.
        """
        self._horizon, self._copies_horizon = horizon, copies_horizon
        self._connection.execute(INDEXES)

    def missing(self) -> Iterator[Discrepancy]:
        """Give what should be in Kafka and is not."""
        return self._ask(MISSING)

    def doubled(self) -> Iterator[Discrepancy]:
        """Give what is in a topic more often than it was accepted, or replayed."""
        return self._ask(DOUBLED, self._copies_horizon, self._horizon)

    def unknown(self) -> Iterator[Discrepancy]:
        """Give what bears a source of ours and was never accepted, or is a copy that nobody ordered."""
        return self._ask(UNKNOWN, self._horizon, self._copies_horizon)

    def counts(self) -> dict[str, int]:
        """Count what was compared, and what could not be: truncated or compacted away, or sent before the horizon."""
        queries = {
            "expected": "SELECT count(*) FROM expected",
            "read": "SELECT count(*) FROM found",
            "of_others": "SELECT count(*) FROM found WHERE NOT ours",
            "replayed": "SELECT count(*) FROM found WHERE ours AND copied AND NOT mirror",
        }
        asked = {name: self._count(query) for name, query in queries.items()}
        return asked | {"not_retained": self._count(BELOW), "before_horizon": self._count(UNJUDGED, self._horizon)}

    def close(self) -> None:
        """Close the scratch file."""
        self._connection.close()

    def _count(self, query: str, *bindings: float) -> int:
        ((number,),) = self._connection.execute(query, bindings)
        return int(number)

    def _ask(self, query: str, *bindings: float) -> Iterator[Discrepancy]:
        for topic, partition, offset, id_, number in self._connection.execute(query, bindings):
            places = offset if isinstance(offset, str) else f"{partition}/{'?' if offset is None else offset}"
            yield Discrepancy(str(topic), places, str(id_), number)
