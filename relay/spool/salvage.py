"""Salvage: a new file made of what can be read of a damaged one, which is set aside."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

import apsw

from relay.spool import totals
from relay.spool.failure import Hopeless
from relay.spool.file import COUNTED, KEPT, PENDING, connect_writer, count, rows
from relay.spool.front import fits, fronted
from relay.spool.sound import Sound
from relay.spool.successor import Successor

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {"deliveries": "number", "bodies": "number", "records": "number", "flights": "id", "ids": "number"}
TOGETHER = 1_000  # rows in one transaction
LOG_PAGES = 1_000
BODYLESS = f"SELECT number FROM deliveries WHERE {KEPT} AND number NOT IN (SELECT number FROM bodies)"  # noqa: S608 - constant
EARLIER = "SELECT coalesce(max(lost), 0) FROM totals WHERE moment = 'now'"
# A dead letter whose replay is lost is dead again. Without one it may also stand where its replay has been swept: only
# behind it can that be lost.
REVIVE = (
    "UPDATE deliveries SET status = 'dead', withdrawn = NULL WHERE withdrawn = 'replayed' AND number < ? "
    "AND number IN (SELECT number FROM bodies) "
    "AND number NOT IN (SELECT replay_of FROM deliveries WHERE replay_of IS NOT NULL)"
)
# One whose mirror is lost is mirrored again, unless that is known to be in Kafka.
UNTIE = (
    "UPDATE deliveries SET mirrored = NULL WHERE mirrored IN (SELECT value FROM json_each(?)) "
    "AND mirrored NOT IN (SELECT number FROM records WHERE partition IS NOT NULL)"
)
# Without a fingerprint: by that it is seen that they are none. Each another one, as so many of one hash would make a
# chain of memory's table, along which every step is slow.
GAPS = (
    "INSERT OR IGNORE INTO ids (number, digest, fingerprint, accepted_at) "
    "WITH RECURSIVE every(number) AS (VALUES (?) UNION ALL SELECT number + 1 FROM every WHERE number < ?) "
    "SELECT number, randomblob(16), x'', 0 FROM every"
)


class Salvaged(NamedTuple):
    """What was saved: deliveries kept and lost, the tables that were damaged, and where the old file is, if any.

    `doubtful` are pending ones of which a flight or the settlement of a record may have been lost: they are sent
    anew, and Kafka may have them.
    """

    kept: int
    lost: int
    doubtful: int
    damaged: tuple[str, ...]
    aside: Path | None


def salvage(path: Path, source: apsw.Connection, last_number: int) -> Salvaged:
    """Put a new file in the place of the one at `path`, with what can be read through `source`; closes that.

    No other connection may be open. Rows are copied one after the other, and behind one that cannot be read
    it goes on with the next number, so that damage costs only what stood there. Numbers up to `last_number`
    are not given again, and ids that are lost leave no gap. What is pending or dead and has lost its row or
    its body is lost, and stays in the totals as that. A dead letter that had left for a lost replay is one again, and
    one that has lost its mirror is mirrored again. Where page 1 is ruined, which says where the tables stand, that of a
    new spool is taken for it. Raises `apsw.Error` and OSError when the new file cannot be written, and `Hopeless`
    when nothing tells what the file held; then all is as it was, and `source` is open.
    """
    if _has_schema(source):
        return _make_anew(path, source, last_number)
    with fronted(path) as instead:
        if not fits(instead):
            raise _hopeless(path)
        return _make_anew(path, instead, last_number, source)


def _has_schema(source: apsw.Connection) -> bool:
    with suppress(apsw.Error):
        return all(_columns(source, table) for table in ("deliveries", "ids"))
    return False


def _hopeless(path: Path) -> Hopeless:
    return Hopeless(
        f"the spool {path} is damaged so that nothing tells what it held, and was left as it is: stop the relay, and "
        f"either restore a copy of the file, or move {path.name}* out of {path.parent} and accept that what was in it "
        "is lost"
    )


def _make_anew(path: Path, source: apsw.Connection, last_number: int, *others: apsw.Connection) -> Salvaged:
    lasts = {table: _last(source, table) for table, key in TABLES.items() if key == "number"}
    if not last_number and not any(lasts.values()) and lasts["ids"] is None:
        raise _hopeless(path)  # made anew it would be empty, and say that nothing was lost
    successor = Successor(path)
    successor.begin()
    with closing(connect_writer(successor.draft)) as target:
        target.wal_autocheckpoint(LOG_PAGES)
        last = max(last_number, *(found or 0 for found in lasts.values()))
        missing = {table: _copy(source, target, table, max(last, _last(source, table) or 0)) for table in TABLES}
        if _last(source, "flights") is None:
            missing["flights"].add(0)  # nobody knows how many there were
        lost = _tidy(target, missing["deliveries"], missing["bodies"], last, _lost_earlier(source))
        with suppress(apsw.Error):  # what cannot be read is not there to compare the metrics with
            if since := totals.since_start(source):
                totals.carry_start(target, since)
        doubtful = _doubtful(target, missing["records"], flights_lost=bool(missing["flights"]))
        kept = count(target, "SELECT count(*) FROM deliveries")
        target.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # its log, which has another name, stays behind
    successor.be_ready()
    for connection in (*others, source):
        with suppress(apsw.Error):  # what it held was read, as far as it could be
            connection.close()
    aside = successor.take_place()
    return Salvaged(kept, lost, doubtful, tuple(table for table, keys in missing.items() if keys), aside)


def finish(path: Path) -> Salvaged | None:
    """Put a new file in its place that an earlier salvage had ready when it was broken off; None when there is none.

    Nothing may have the spool open. What was lost, and may be in Kafka, is told as far as the file itself says: all
    that was ever lost, and all that is pending. Raises `apsw.Error` and OSError.
    """
    successor = Successor(path)
    if not successor.is_ready:
        return None
    aside = successor.take_place()
    with closing(connect_writer(path)) as target:
        kept, pending = (count(target, f"SELECT count(*) FROM deliveries WHERE {which}") for which in ("1", PENDING))  # noqa: S608 - constants
        return Salvaged(kept, _lost_earlier(target), pending, (), aside)


def _last(source: apsw.Connection, table: str) -> int | None:
    """Give the last key of a table, 0 when it is empty, None when that cannot be read."""
    with suppress(apsw.Error):
        return count(source, f"SELECT coalesce(max({TABLES[table]}), 0) FROM {table}")  # noqa: S608 - constants
    return None


def _lost_earlier(source: apsw.Connection) -> int:
    with suppress(apsw.Error):  # an older schema knows of none
        return count(source, EARLIER)
    return 0


def _copy(source: apsw.Connection, target: apsw.Connection, table: str, last: int) -> set[int]:
    """Copy a table; give the keys at which nothing could be read, be it that there was something or not."""
    key = TABLES[table]
    names = _columns(target, table)
    with suppress(apsw.Error):  # an older schema has fewer
        there = _columns(source, table)
        names = [name for name in names if name in there] or names
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    query = f"SELECT {columns} FROM {table} WHERE {key} >= ? ORDER BY {key}"  # noqa: S608 - constants
    sound = Sound(target, table, names)
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({values})"  # noqa: S608 - constants
    place, missing = 1, set()
    while place <= last:
        found: list[tuple[apsw.SQLiteValue, ...]] = []
        start = None
        try:
            for row in source.execute(query, (place,)):
                sound.check(row)
                found.append(row)
                start = place = max(place, int(row[names.index(key)]))
                if len(found) == TOGETHER:
                    _write(target, insert, found)
                    found = []
            place = last
        except (apsw.Error, ValueError):  # ValueError: what is none of ours any more
            if start is None or table == "records":  # of which others of that number may not be read either
                missing.add(place)
        _write(target, insert, found)
        place += 1
    return missing


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    return [str(name) for _, name, *_ in rows(connection, f"PRAGMA table_info({table})")]


def _write(target: apsw.Connection, insert: str, found: list[tuple[apsw.SQLiteValue, ...]]) -> None:
    with target:
        target.executemany(insert, found)


def _tidy(target: apsw.Connection, missing: set[int], bodies: set[int], last: int, earlier: int) -> int:
    """Let what is there fit together; count the deliveries that were there, and are lost, and `earlier` ones apart."""
    with target:
        bodyless = {number for (number,) in rows(target, BODYLESS)}
        for table in ("deliveries", "records"):
            target.executemany(f"DELETE FROM {table} WHERE number = ?", [(number,) for number in bodyless])  # noqa: S608 - names above
        stray = "SELECT number FROM bodies WHERE number NOT IN (SELECT number FROM deliveries)"
        strays = {number for (number,) in rows(target, stray)}
        target.execute("DELETE FROM bodies WHERE number NOT IN (SELECT number FROM deliveries)")
        # A number without a row and without a body had been swept.
        lost = bodyless | {number for number in missing if number in strays or number in bodies}
        # Who sends one of these again must find it new; that it was accepted, and when, is told all the same.
        unnamed = "UPDATE ids SET digest = randomblob(16), fingerprint = x'' WHERE number = ?"
        target.executemany(unnamed, [(number,) for number in lost])
        target.execute(REVIVE, (max(lost, default=0),))
        target.execute(UNTIE, (json.dumps(sorted(lost)),))
        first = count(target, f"SELECT coalesce(min(number), {last}) FROM ids")  # noqa: S608 - a number
        if last:
            target.execute(GAPS, (first, last))
        target.execute(f"DELETE FROM totals; {COUNTED}")  # noqa: S608 - constant
        totals.lose(target, earlier + len(lost))
    return len(lost)


def _doubtful(target: apsw.Connection, records: set[int], *, flights_lost: bool) -> int:
    """Count the pending deliveries whose records may be in Kafka although no flight or record says so."""
    pending = {number for (number,) in rows(target, f"SELECT number FROM deliveries WHERE {PENDING}")}  # noqa: S608 - constant
    return len(pending if flights_lost else pending & records)
