"""Words that damage has changed in rows which SQLite can read."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from relay.core.model import Status
from relay.spool import Appended, Damaged, Fact, Journal
from relay.spool.reader import Reader
from tests.spool.samples import NOW, alter, append, entry, opened, published, refused

if TYPE_CHECKING:
    from pathlib import Path


def test_a_reason_that_is_none_holds_nothing_up(path: Path) -> None:
    """A repeat of its delivery is answered, the fact is told without it, and what is settled beside it ends."""
    topics = ("a", "b")
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2"))
        store.commit((), [Journal((refused(2, "a", topics),))], NOW)
        alter(path, "UPDATE deliveries SET reason = 'unroutible' WHERE number = 1")
        alter(path, "UPDATE records SET reason = 'refusee' WHERE number = 2")
        detail = "no rule matches"
        assert append(store, entry("1")) == [Appended(1, Status.DEAD, None, detail, duplicate=True)]
        _, [journalled] = store.commit((), [Journal((published(2, "b", topics),))], NOW)
        assert [(done.number, done.status, done.reason) for done in journalled.done] == [(2, Status.DEAD, None)]
    with closing(Reader(path)) as reader:
        assert reader.fact(1) == Fact(1, "1", Status.DEAD, None, ())


def test_a_status_that_is_none_is_damage(path: Path) -> None:
    """So the file is made anew without that row, instead of each commit with a repeat of it failing."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
        alter(path, "UPDATE deliveries SET status = 'pendinh' WHERE number = 1")
        with pytest.raises(Damaged):
            append(store, entry("1"))
    with closing(Reader(path)) as reader, pytest.raises(Damaged):
        reader.fact(1)
