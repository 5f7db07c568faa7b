"""Front: page 1 of a spool's file, which says where its tables stand, put in place of one that is ruined."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import apsw

from relay.spool.file import BUSY_MS, PAGE_SIZE, count, make, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE, NAME = "unix", "relay-front"
WAL = b"\x02\x02"  # bytes 18 and 19, the file format's versions: there may be a write-ahead log
UNSURE = b"\xff" * 4  # bytes 92 to 95, which let the number of pages in the header not count: it is taken from the file
TABLES = ("deliveries", "bodies", "records", "flights", "ids", "totals")
SAMPLE = 100  # rows


@contextmanager
def fronted(path: Path) -> Iterator[apsw.Connection]:
    """Open the file for reading as if page 1 were that of a new spool; neither it nor its log is changed.

    A file that this version has made has its tables where a new one has them; `fits` tells whether that is so.
    Source: https://www.sqlite.org/fileformat2.html, 1.3 and 2.6.
    """
    disk = _Disk(_front())
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=NAME)
        connection.set_busy_timeout(BUSY_MS)
        try:
            yield connection
        finally:
            with suppress(apsw.IOError):  # it asks for the lock to fold the log, which one that only reads cannot have
                connection.close()
    finally:
        disk.unregister()


def fits(connection: apsw.Connection) -> bool:
    """Tell whether something can be read under this front, and the first rows are of the types that it says."""
    answers = [_fit(connection, table) for table in TABLES]
    return True in answers and False not in answers


def _front() -> bytes:
    with closing(apsw.Connection(":memory:")) as new:
        make(new)
        page = new.serialize("main")[:PAGE_SIZE]
    return page[:18] + WAL + page[20:92] + UNSURE + page[96:]


def _fit(connection: apsw.Connection, table: str) -> bool | None:
    """Tell whether a table's first rows are what they should be; None when none can be read."""
    with suppress(apsw.Error):
        odd = " OR ".join(
            f"""typeof("{name}") NOT IN ('{kind.lower()}', '{"" if required or key else "null"}')"""
            for _, name, kind, required, _, key in rows(connection, f"PRAGMA table_info({table})")
        )
        return not count(connection, f"SELECT count(*) FROM (SELECT * FROM {table} LIMIT {SAMPLE}) WHERE {odd}")  # noqa: S608 - constants
    return None


class _Disk(apsw.VFS):
    """SQLite's files as they are, but for the database's page 1."""

    def __init__(self, front: bytes) -> None:
        super().__init__(NAME, BASE)
        self._front = front

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        front = self._front if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else b""
        return _File(front, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, front: bytes, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)
        self._front = front

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's
        found = super().xRead(amount, offset)
        return self._front[offset : offset + amount] + found[max(0, len(self._front) - offset) :]
