"""The ballast: bytes that the disk has allotted, and when there is room for them."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from relay.spool.ballast import LEAST, Ballast
from tests.spool.samples import MIB

if TYPE_CHECKING:
    from pathlib import Path


def room(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let every disk have so many bytes left."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=size, f_frsize=1))


def test_it_is_allotted_and_given_back(path: Path) -> None:
    """The file stands beside the spool, for its owner alone, takes what it says, and gives that back once."""
    ballast = Ballast(path, 2 * MIB)
    assert (ballast.load(), ballast.load()) == (True, True)
    file = path.with_name("spool.db.ballast").stat()
    assert (file.st_size, file.st_blocks * 512, file.st_mode & 0o777) == (2 * MIB, 2 * MIB, 0o600)
    assert (ballast.drop(), ballast.drop(), ballast.path.exists()) == (2 * MIB, 0, False)


@pytest.mark.parametrize("size", [MIB, 3 * MIB])
def test_it_follows_its_size(path: Path, size: int) -> None:
    """One of an earlier configuration is cut or grown; without any it goes."""
    Ballast(path, 2 * MIB).load()
    ballast = Ballast(path, size)
    assert ballast.load()
    assert (ballast.path.stat().st_size, ballast.path.stat().st_blocks * 512) == (size, size)
    assert Ballast(path, 0).load()
    assert not ballast.path.exists()


def test_it_is_never_what_a_link_leads_to(path: Path) -> None:
    """A link in its place goes, and what that leads to stays as it is; so when it is dropped."""
    other = path.with_name("other")
    other.write_bytes(b"precious" * 1000)
    ballast = Ballast(path, 2 * 4096)
    for leave in (ballast.load, Ballast(path, 0).load, ballast.drop):
        ballast.path.unlink(missing_ok=True)
        ballast.path.symlink_to(other)
        leave()
        assert not ballast.path.is_symlink()
        assert other.read_bytes() == b"precious" * 1000
    ballast.path.symlink_to(path.with_name("nothing"))
    assert (ballast.load(), ballast.path.is_symlink(), ballast.path.stat().st_size) == (True, False, 2 * 4096)


def test_what_cannot_be_made_is_told(path: Path) -> None:
    """Where no file can be, there is no ballast, and nothing of it stays."""
    ballast = Ballast(path.parent / "gone" / "spool.db", MIB)
    assert (ballast.load(), ballast.drop()) == (False, 0)


@pytest.mark.parametrize("size", [MIB // 2, 2 * MIB])
def test_it_fits_where_it_is_not_dropped_at_once(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There must be room for it and as much again, and never less than for two mebibytes."""
    ballast = Ballast(path, size)
    for free, fits in ((2 * max(size, LEAST), True), (2 * max(size, LEAST) - 1, False)):
        room(monkeypatch, free)
        assert ballast.fits is fits


def test_a_disk_with_less_than_a_mebibyte_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ballast's size is."""
    for free, full in ((LEAST, False), (LEAST - 1, True)):
        room(monkeypatch, free)
        assert Ballast(path, 0).disk_is_full is full
