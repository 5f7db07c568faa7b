"""The file of the rings: for its owner alone, whole or as before, and never taken for empty when it is damaged."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Unavailable
from relay.keys import file
from relay.keys.ring import FetchedKey, Ring

if TYPE_CHECKING:
    from pathlib import Path

RINGS = {"contoso": Ring(last_used={"0123abcd": 3.0}).take(b"a-key-of-syskit-point", 1.0, 60.0).retire("89abcdef", 2.0)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Keys, ends, what was retired and when keys were used come back, and no file means none."""
    path = file.path_of(tmp_path / "spool.db")
    assert file.read(path) == {}
    file.write(path, RINGS)
    assert file.read(path) == RINGS


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The mode is 0600, whatever the umask, and whatever a crash has left."""
    path = tmp_path / "spool.db.keys"
    (tmp_path / "spool.db.keys.new").write_text("left by a crash")
    (tmp_path / "spool.db.keys.new").chmod(0o666)
    before = os.umask(0)
    try:
        file.write(path, RINGS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00" * 100,
        b"[]",
        b'{"sources": {"contoso": {"fetched": 3}}}',
        b"\xff",
        b"[" * 100_000,
        b'{"sources":' * 100_000,
    ],
)
def test_a_damaged_file_is_no_empty_one(tmp_path: Path, content: bytes) -> None:
    """What is not the file that was written is an error, which quotes nothing of it."""
    path = tmp_path / "spool.db.keys"
    path.write_bytes(content)
    with pytest.raises(file.DamagedError, match="is not the JSON"):
        file.read(path)
    aside = file.set_aside(path)
    assert (aside.read_bytes(), path.exists()) == (content, False)


def test_a_file_of_another_version_is_let_be(tmp_path: Path) -> None:
    """A newer relay's file is no damage: nothing is guessed, and nothing moved."""
    path = tmp_path / "spool.db.keys"
    path.write_text('{"version": 2, "sources": ["of another shape"]}')
    with pytest.raises(Unavailable, match="version 2"):
        file.read(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """What could not be replaced is as it was."""
    path = tmp_path / "spool.db.keys"
    file.write(path, RINGS)
    (tmp_path / "spool.db.keys.new").mkdir()
    with pytest.raises(OSError, match=r"directory|permitted"):
        file.write(path, {})
    assert file.read(path) == RINGS


@pytest.mark.parametrize("secret", [b"", b"a", b"fifteen-bytes-x"])
def test_a_key_that_is_none_is_damage(tmp_path: Path, secret: bytes) -> None:
    """With an empty key anybody could sign: the relay does not write one, and takes none."""
    path = tmp_path / "spool.db.keys"
    file.write(path, {"contoso": Ring((FetchedKey(secret),))})
    with pytest.raises(file.DamagedError, match="too short"):
        file.read(path)


def test_a_file_that_others_may_read_is_tightened(tmp_path: Path) -> None:
    """A mode that a person or a backup has widened is 0600 again, which is told once."""
    path = tmp_path / "spool.db.keys"
    assert not file.tighten(path)
    file.write(path, RINGS)
    path.chmod(0o644)
    assert [file.tighten(path), file.tighten(path)] == [True, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
