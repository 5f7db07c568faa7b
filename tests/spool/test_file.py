"""The spool's file: one writer, its own format, and nobody else's eyes."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import Mock

import apsw
import pytest

from relay.core.errors import Unavailable
from relay.spool.file import SCHEMA_VERSION, connect_writer
from relay.spool.lock import Lock, in_use
from relay.spool.reader import Reader
from tests.spool.samples import alter, append, entry, look, opened

if TYPE_CHECKING:
    from pathlib import Path

TAKE = "import sys, time, pathlib; from relay.spool.lock import Lock; lock = Lock(pathlib.Path(sys.argv[1])); "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a spool in a folder that does not exist yet."""
    return tmp_path / "data" / "spool.db"


def test_a_second_process_is_refused(path: Path) -> None:
    """Two processes never share a spool, and the second one is told who has it and what to do."""
    with closing(Lock(path)):
        second = subprocess.run(
            [sys.executable, "-c", TAKE, path], capture_output=True, text=True, check=False, timeout=30
        )
    assert second.returncode == 1
    assert second.stderr.endswith(
        f"InUse: {path} is in use by another relay (it holds {path}.lock); give each relay a spool of its own\n"
    )
    Lock(path).close()


def test_a_killed_process_holds_no_lock(path: Path) -> None:
    """The lock leaves with its process, however that ends, so nobody has to remove a file."""
    command = [sys.executable, "-c", TAKE + "print('taken', flush=True); time.sleep(60)", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"taken\n"
        with pytest.raises(Unavailable, match="in use by another relay"):
            Lock(path)
        first.send_signal(signal.SIGKILL)
    Lock(path).close()


def test_it_can_be_asked_whether_a_spool_is_in_use(path: Path) -> None:
    """It is while its lock is held, and asking neither makes a file nor takes the lock."""
    assert (in_use(path), path.parent.exists()) == (False, False)
    with closing(Lock(path)):
        assert (in_use(path), in_use(path)) == (True, True)
    assert not in_use(path)
    Lock(path).close()


def test_one_who_asks_keeps_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that starts while somebody asks whether the spool is in use waits until that is over."""
    Lock(path).close()
    asking = os.open(path.with_name("spool.db.lock"), os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    waited = Mock(side_effect=lambda _: os.close(asking))
    monkeypatch.setattr(time, "sleep", waited)
    Lock(path).close()
    assert waited.call_count == 1


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """Where no file can be, the sentence says which and why."""
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"the spool .*/file/spool.db cannot be opened: .*exists"):
        Lock(tmp_path / "file" / "spool.db")


def test_only_the_owner_reads(tmp_path: Path) -> None:
    """Deliveries are for the relay's user alone: database, log, index and lock, also where the umask is open."""
    path = tmp_path / "spool.db"
    umask = os.umask(0)
    try:
        with closing(Lock(path)), opened(path) as store:
            append(store, entry("1"))
            found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(umask)
    assert found == {f"spool.db{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}


def test_a_commit_is_flushed(tmp_path: Path) -> None:
    """The writer's connection has a write-ahead log and flushes it in every commit; checkpoints are the keeper's."""
    with closing(connect_writer(tmp_path / "spool.db")) as connection:
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("wal_autocheckpoint") == 0


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A spool of a newer relay is left alone, and the sentence says what to do."""
    path = tmp_path / "spool.db"
    with opened(path) as store:
        append(store, entry("1"))
    alter(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(Unavailable) as caught:
        connect_writer(path)
    assert str(caught.value) == (
        f"{path} has spool schema {SCHEMA_VERSION + 1}, this relay writes {SCHEMA_VERSION}: "
        "run the version that wrote it until it is drained, "
        "or give this one another spool.path"
    )
    assert path.read_bytes() == before


VERSION_1 = """
CREATE TABLE deliveries (
  number INTEGER PRIMARY KEY, source TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT,
  received_at REAL NOT NULL, key_id TEXT NOT NULL, signature TEXT NOT NULL, traceparent TEXT,
  status TEXT NOT NULL, reason TEXT, detail TEXT, settled_at REAL, owed INTEGER NOT NULL, body BLOB
);
CREATE INDEX kept ON deliveries (status, number, owed) WHERE status IN ('pending', 'dead');
CREATE TABLE records (
  number INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER, "offset" INTEGER, reason TEXT, detail TEXT,
  PRIMARY KEY (number, topic)
) WITHOUT ROWID;
CREATE TABLE flights (
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, cluster TEXT NOT NULL,
  producer_id INTEGER NOT NULL, producer_epoch INTEGER NOT NULL, base_sequence INTEGER NOT NULL,
  sent_at REAL NOT NULL, items BLOB NOT NULL
);
CREATE TABLE ids (
  number INTEGER PRIMARY KEY, digest BLOB NOT NULL, fingerprint BLOB NOT NULL, accepted_at REAL NOT NULL
);
INSERT INTO deliveries VALUES
  (1, 'contoso', 'a', 'T', 12.5, 'key-1', 'c2ln', NULL, 'published', NULL, NULL, 13, 0, x'01'),
  (2, 'contoso', 'b', 'T', 12.5, 'key-1', 'c2ln', NULL, 'pending', NULL, NULL, NULL, 9, x'ff00');
INSERT INTO records VALUES (1, 't', 0, 7, NULL, NULL);
INSERT INTO ids VALUES (1, x'01', x'01', 12.5), (2, x'02', x'02', 12.5);
PRAGMA application_id = 1380273241;
PRAGMA user_version = 1;
"""


def test_the_first_version_is_brought_up(path: Path) -> None:
    """A spool of the first version keeps all that it held, and goes on as one of this version."""
    path.parent.mkdir()
    alter(path, VERSION_1)
    with opened(path) as store:
        assert (store.pending, store.last_number) == (1, 2)
        append(store, entry("c"))
    assert look(path, "SELECT number, body FROM bodies ORDER BY number")[:2] == [(1, b"\x01"), (2, b"\xff\x00")]
    assert look(path, "SELECT number, status, answered, repeats FROM deliveries") == [
        (1, "published", None, 0),
        (2, "pending", None, 0),
        (3, "pending", None, 0),
    ]
    assert look(path, 'SELECT topic, "offset", flight FROM records') == [("t", 7, None)]
    assert look(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    with closing(Reader(path)) as reader:
        assert [stored.delivery.body for stored in reader.page(0, 2)] == [b"\xff\x00"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (x)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        "CREATE TABLE t (x); PRAGMA user_version = 1; PRAGMA application_id = 7",
    ],
)
def test_a_file_of_another_program_is_refused(tmp_path: Path, statement: str) -> None:
    """Any other SQLite file is refused, and neither its bytes nor its mode are changed."""
    path = tmp_path / "other.db"
    alter(path, statement)
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"other.db is a SQLite file, but not a relay's spool"):
        connect_writer(path)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o640)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that SQLite cannot read is an error of SQLite's, and is not written over."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    with pytest.raises(apsw.NotADBError):
        connect_writer(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_spool(tmp_path: Path) -> None:
    """A file without content, as a crash between its making and its schema leaves it, is taken."""
    path = tmp_path / "spool.db"
    path.touch(0o644)
    with opened(path) as store:
        append(store, entry("1"))
    assert look(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
