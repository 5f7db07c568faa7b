"""Mirrors: an entry of its own for each dead letter, once, tied to it in one commit."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.model import Mirror, Replay, Status
from relay.spool import Appended, Dead, Entry, Journal, Verdict
from relay.spool.reader import Reader
from tests.spool.samples import NOW, append, dump, entry, look, opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a spool."""
    return tmp_path / "spool.db"


def mirror(of: int, id: str = "1") -> Entry:  # noqa: A002 - as in `entry`
    """Give the mirror of a dead letter."""
    return replace(entry(id), copy=Mirror(of, "dead", "unroutable", "no rule matches: at all"), topics=("dead",))


def unmirrored(path: Path, after: int = 0, source: str = "contoso") -> list[int]:
    """Read which dead letters are to be mirrored."""
    with closing(Reader(path)) as reader:
        return [dead.number for dead in reader.unmirrored(after, ["fabrikam", source])]


def test_a_dead_letter_is_mirrored_once(path: Path) -> None:
    """The mirror is pending and knows all it needs; the dead letter stays one, and is not to be mirrored any more."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2"), entry("3", status=Status.DEAD))
        assert (unmirrored(path), unmirrored(path, 1)) == ([1, 3], [3])
        with closing(Reader(path)) as reader:
            assert reader.unmirrored(2, ["contoso"]) == [Dead(3, entry("3").delivery, "unroutable", "no rule matches")]
        dead = store.usage.dead
        assert append(store, mirror(1), mirror(1)) == [
            Appended(4, Status.PENDING, None, None), Appended(1, Status.DEAD, None, None, duplicate=True)
        ]  # fmt: skip
        assert append(store, mirror(1))[0].duplicate
        assert (unmirrored(path), store.pending, store.usage.dead) == ([3], 2, dead)
        with closing(Reader(path)) as reader:
            (stored,) = reader.page(2, 9)
        assert stored.copy == Mirror(1, "dead", "unroutable", "no rule matches: at all")
        assert append(store, entry("1"))[0] == Appended(1, Status.DEAD, "unroutable", "no rule matches", duplicate=True)  # type: ignore[arg-type]


def test_those_of_other_sources_are_not_read(path: Path) -> None:
    """They wait until their source is configured, and cost nothing meanwhile."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DEAD, source="fabrikam"))
        assert unmirrored(path, source="adatum") == [2]


def test_a_mirror_that_dies_is_not_mirrored(path: Path) -> None:
    """It is a dead letter as any other, and the last of its line."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD))
        append(store, mirror(1))
        store.commit((), (Journal(verdicts=(Verdict(2, Status.DEAD),)),), NOW)
        assert look(path, "SELECT number, status FROM deliveries") == [(1, "dead"), (2, "dead")]
        assert unmirrored(path) == []


def test_what_is_withdrawn_is_not_mirrored(path: Path) -> None:
    """Only dead letters are; a replay that dies is one of its own."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD))
        append(store, replace(entry("1"), copy=Replay(1)))
        assert append(store, mirror(1))[0].duplicate
        assert unmirrored(path) == []
        store.commit((), (Journal(verdicts=(Verdict(2, Status.DEAD),)),), NOW)
        assert unmirrored(path) == [2]


def test_a_mirror_that_is_taken_back_is_made_again(path: Path) -> None:
    """What a failed commit left of it goes, and its dead letter is to be mirrored as before."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DEAD))
        append(store, mirror(1))
        before = dump(path)
        append(store, mirror(2, "2"))
        store.take_back(3, 0)
    assert dump(path) == before
    assert unmirrored(path) == [2]
