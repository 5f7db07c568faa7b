"""The spool's file: its schema, and how a connection to it is opened."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import apsw

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 5
APPLICATION_ID = 0x52454C59  # "RELY"
PAGE_SIZE = 4096
BUSY_MS = 5000
CACHE_KIB = 4_096
CHUNK = 1 << 20  # the file grows by so many bytes at a time

# SQLite takes a partial index only when its condition stands in the query word for word.
KEPT = "status IN ('pending', 'dead')"
PENDING = f"{KEPT} AND status = 'pending'"
DEAD = f"{KEPT} AND status = 'dead'"
UNMIRRORED = "status = 'dead' AND mirrored IS NULL AND mirror_of IS NULL"
# A dead letter that was withdrawn keeps its reason, for its history; nobody else is told it as that of a dropped one.
REASON = "iif(withdrawn IS NULL, reason, NULL)"

# A row of `deliveries` leaves by retention, with its body, which stands apart so that settling touches narrow rows
# only. `ids` is narrow and append-only and outlives both: a unique text index would write a random page for each
# row, so repeats are found in memory and confirmed by number here. `kept` finds what must not be lost, at start,
# without a scan. `owed` is the room that settling a pending delivery will take. `answered` is what its sender was
# told, as the settling commit knew it; `repeats` counts the duplicates of it that came.
SCHEMA = """
CREATE TABLE deliveries (
  number INTEGER PRIMARY KEY, source TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT,
  received_at REAL NOT NULL, key_id TEXT NOT NULL, signature TEXT NOT NULL, traceparent TEXT,
  status TEXT NOT NULL, reason TEXT, detail TEXT, settled_at REAL, owed INTEGER NOT NULL,
  answered TEXT, answered_at REAL, repeats INTEGER NOT NULL DEFAULT 0, repeated_at REAL
);
CREATE TABLE bodies (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX kept ON deliveries (status, number, owed) WHERE status IN ('pending', 'dead');
CREATE TABLE records (
  number INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER, "offset" INTEGER, reason TEXT, detail TEXT,
  flight INTEGER, PRIMARY KEY (number, topic)
) WITHOUT ROWID;
CREATE TABLE flights (
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, cluster TEXT NOT NULL,
  producer_id INTEGER NOT NULL, producer_epoch INTEGER NOT NULL, base_sequence INTEGER NOT NULL,
  sent_at REAL NOT NULL, items BLOB NOT NULL
);
CREATE TABLE ids (
  number INTEGER PRIMARY KEY, digest BLOB NOT NULL, fingerprint BLOB NOT NULL, accepted_at REAL NOT NULL
);
"""

# Running totals, in version 3: one row as of the last commit, and one as of when the relay that runs was started, which
# is where its metrics begin. They outlive the rows: `gone` counts the published and dropped ones that were swept, and
# `departed` those that had left before totals were kept, published or dropped, but for those that were `lost` with a
# damaged file. `owed` adds up that of all pending ones, which to read at start would take seconds. Every record of this
# spool was sent after `made_at`; of those whose delivery is swept, none was sent after `swept_until`.
TOTALS = """
CREATE TABLE totals (
  moment TEXT PRIMARY KEY, accepted INTEGER NOT NULL, published INTEGER NOT NULL, dead INTEGER NOT NULL,
  dropped INTEGER NOT NULL, gone INTEGER NOT NULL, departed INTEGER NOT NULL, lost INTEGER NOT NULL,
  made_at REAL NOT NULL, swept_until REAL, owed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
COUNTED = """
INSERT INTO totals
SELECT 'now', last, published, dead, dropped, 0, last - kept, 0,
  coalesce((SELECT min(accepted_at) FROM ids WHERE last = kept), iif(last, 0, unixepoch('subsec'))),
  iif(last > kept, unixepoch('subsec'), NULL), owed
FROM (SELECT coalesce(max(number), 0) AS last FROM ids),
  (SELECT count(*) AS kept, count(*) FILTER (WHERE status = 'published') AS published,
    count(*) FILTER (WHERE status = 'dead') AS dead, count(*) FILTER (WHERE status = 'dropped') AS dropped,
    coalesce(sum(owed) FILTER (WHERE status = 'pending'), 0) AS owed
  FROM deliveries);
"""
OWED = f"""
ALTER TABLE totals ADD COLUMN owed INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET owed = (SELECT coalesce(sum(owed), 0) FROM deliveries WHERE {PENDING}) WHERE moment = 'now';
"""  # noqa: S608 - constant

# Copies, in version 3. `replay_of` makes a row a replay of that delivery, `mirror_of` the mirror of that dead letter,
# whose reason is `because`; `target` is the topic given. `withdrawn` says how a dead letter left the dead ones, which
# makes it a dropped one: its reason stays, and `because` has the words of the person who gave it up. `mirrored` is the
# number of a dead letter's mirror. The indices are of few rows: they find the replays of a delivery, and what is to be
# mirrored.
COPIES = """
ALTER TABLE deliveries ADD COLUMN replay_of INTEGER;
ALTER TABLE deliveries ADD COLUMN target TEXT;
ALTER TABLE deliveries ADD COLUMN withdrawn TEXT;
ALTER TABLE deliveries ADD COLUMN because TEXT;
ALTER TABLE deliveries ADD COLUMN mirror_of INTEGER;
ALTER TABLE deliveries ADD COLUMN mirrored INTEGER;
CREATE INDEX unmirrored ON deliveries (number) WHERE status = 'dead' AND mirrored IS NULL AND mirror_of IS NULL;
CREATE INDEX replays ON deliveries (replay_of) WHERE replay_of IS NOT NULL;
"""

# From version 1 to 2; what version 1 did not note down is not known of its deliveries.
ANSWERS = """
ALTER TABLE deliveries ADD COLUMN answered TEXT;
ALTER TABLE deliveries ADD COLUMN answered_at REAL;
ALTER TABLE deliveries ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN repeated_at REAL;
ALTER TABLE records ADD COLUMN flight INTEGER;
CREATE TABLE bodies (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO bodies SELECT number, body FROM deliveries;
ALTER TABLE deliveries DROP COLUMN body;
"""

# What brings a file of each version, or an empty one, to this one.
STEPS = {
    None: SCHEMA + COPIES + TOTALS + COUNTED,
    1: ANSWERS + COPIES + TOTALS + COUNTED,
    2: COPIES + TOTALS + COUNTED,
    3: "ALTER TABLE totals ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;" + OWED,
    4: OWED,
}


def connect_writer(path: Path) -> apsw.Connection:
    """Open the file for the one writer; make its schema when new.

    Write-ahead log with `synchronous=FULL`: a commit that returned is on disk. Checkpoints are left
    to `connect_keeper`, since one inside a commit triples the slowest answers.
    A file of a version before is brought to this one, in one transaction. Raises `Unavailable` for a file of
    another program or of any other version, and leaves it as it was.
    """
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_MS)
    version = _version(connection, path)
    path.chmod(0o600)
    connection.pragma("page_size", PAGE_SIZE)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.wal_autocheckpoint(0)
    _grow_by_chunks(connection)
    # What a transaction touches stays in memory until it commits: only COMMIT may wait for the disk.
    connection.pragma("cache_spill", "off")
    connection.pragma("cache_size", -CACHE_KIB)
    _keep_to_itself(connection)
    if version != SCHEMA_VERSION:
        _bring_up(connection, STEPS[version])
    return connection


def make(connection: apsw.Connection) -> None:
    """Make the schema in an empty database, each table where it stands in every new spool."""
    connection.pragma("page_size", PAGE_SIZE)
    _bring_up(connection, STEPS[None])


def connect_reader(path: Path) -> apsw.Connection:
    """Open the file for reading beside the writer."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MS)
    _keep_to_itself(connection)
    return connection


def connect_keeper(path: Path) -> apsw.Connection:
    """Open the file for checkpoints, which copy the log into the database beside the writer."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(0)
    connection.pragma("synchronous", "full")
    _grow_by_chunks(connection)  # or a checkpoint would cut off what was allotted
    return connection


def keep_log(connection: apsw.Connection) -> None:
    """Let it delete no log when it is closed, which SQLite does by the name: another's may bear it by now."""
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(ctypes.c_int(1)))


def allot(connection: apsw.Connection, size: int) -> None:
    """Have the disk allot at least `size` bytes to the file, of which the rest stays unused. Raises `apsw.Error`."""
    hint = ctypes.c_int64(size)
    connection.file_control("main", apsw.SQLITE_FCNTL_SIZE_HINT, ctypes.addressof(hint))


def rows(connection: apsw.Connection, query: str, bindings: tuple[apsw.SQLiteValue, ...] = ()) -> list[tuple[Any, ...]]:
    """Run a query and read all its rows; their types are those of the schema."""
    return connection.execute(query, bindings).fetchall()


def count(connection: apsw.Connection, query: str) -> int:
    """Run a query that gives one number."""
    return int(rows(connection, query)[0][0])


def _keep_to_itself(connection: apsw.Connection) -> None:
    """Use no temporary files: there may be no other disk with room, or none that may be written."""
    connection.pragma("temp_store", "memory")


def _grow_by_chunks(connection: apsw.Connection) -> None:
    chunk = ctypes.c_int(CHUNK)
    connection.file_control("main", apsw.SQLITE_FCNTL_CHUNK_SIZE, ctypes.addressof(chunk))


def _version(connection: apsw.Connection, path: Path) -> int | None:
    """Give the schema's version, None while the file is empty. Raises `Unavailable` when it is not ours to write."""
    program: int = connection.pragma("application_id")
    version: int = connection.pragma("user_version")
    if program == APPLICATION_ID and version not in {*STEPS, SCHEMA_VERSION}:
        msg = (
            f"{path} has spool schema {version}, this relay writes {SCHEMA_VERSION}: run the version that wrote it "
            "until it is drained, or give this one another spool.path"
        )
        raise Unavailable(msg)
    if program == APPLICATION_ID:
        return version
    if program or version or rows(connection, "SELECT 1 FROM sqlite_schema LIMIT 1"):
        msg = f"{path} is a SQLite file, but not a relay's spool; give spool.path another name"
        raise Unavailable(msg)
    return None


def _bring_up(connection: apsw.Connection, statements: str) -> None:
    with connection:
        connection.execute(statements)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
