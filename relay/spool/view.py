"""View: a spool's file as those see it who only look, with or without a relay beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import apsw

from relay.core.errors import Unavailable
from relay.spool.file import APPLICATION_ID, BUSY_MS, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

ATTEMPTS = 5


class View:
    """Runs short reading transactions on a spool's file; creates no file and changes none.

    SQLite opens a write-ahead log by making it, with its index, when it is not there; for the reader
    of a spool at rest that would leave files behind, and fail in a folder it may not write. Without a
    log the file is whole and nobody writes it, so it is opened as one that does not change, and each
    answer counts only if that was so: a relay that starts makes the log before it writes anything.
    """

    def __init__(self, path: Path) -> None:
        """Name the file. Raises `Unavailable` when it is none, or not a spool of this version."""
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._connection: apsw.Connection | None = None
        self._at_rest: tuple[int, ...] | None = None
        try:
            self.read(self._check)
        except BaseException:
            self.close()
            raise

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in one transaction, which must be over within a second. Raises `Unavailable`."""
        for _ in range(ATTEMPTS):
            try:
                connection = self._connection = self._connection or self._open()
                with connection:
                    answer = work(connection)
            except (apsw.Error, OSError) as error:
                if self._was_still():
                    msg = f"the spool {self._path} cannot be read: {error}"
                    raise Unavailable(msg) from error
            else:
                if self._was_still():
                    return answer
            self.close()
        raise Unavailable(f"the spool {self._path} cannot be read: relays start and stop on it all the time")

    def close(self) -> None:
        """Close the file."""
        if self._connection:
            self._connection.close()
        self._connection = self._at_rest = None

    def _open(self) -> apsw.Connection:
        self._at_rest = None if self._log.exists() else self._state()
        if self._at_rest is None:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        else:
            uri = f"file:{quote(str(self._path.absolute()))}?immutable=1"
            connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        connection.set_busy_timeout(BUSY_MS)
        return connection

    def _was_still(self) -> bool:
        """Tell whether what was opened as unchanging has not changed since; a file with its log may."""
        try:
            return self._at_rest is None or (not self._log.exists() and self._at_rest == self._state())
        except OSError:
            return False

    def _state(self) -> tuple[int, ...]:
        state = self._path.stat()
        return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns

    def _check(self, connection: apsw.Connection) -> None:
        try:
            program, version = connection.pragma("application_id"), connection.pragma("user_version")
        except apsw.NotADBError:
            program = version = None
        if program != APPLICATION_ID:
            raise Unavailable(f"{self._path} is not a relay's spool")
        if version != SCHEMA_VERSION:
            raise Unavailable(
                f"{self._path} has spool schema {version}, this relay reads {SCHEMA_VERSION}: "
                "ask the version that wrote it"
            )
