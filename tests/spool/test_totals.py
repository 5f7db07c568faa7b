"""The running totals: counted in the commits that made them so, and kept when the rows are not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import apsw
import pytest
from msgspec.structs import replace

from relay.core.model import Status
from relay.spool import Journal
from relay.spool.file import SCHEMA_VERSION, connect_reader
from relay.spool.salvage import salvage
from relay.spool.writer import Writer
from tests.spool.samples import (
    NOW,
    alter,
    append,
    append_all,
    entry,
    look,
    opened,
    published,
    refused,
    settle,
    spool_at,
    totals_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from relay.metrics import Metrics

OWED = replace(entry("2"), topics=("a", "b"))
COPIED = ("replay_of", "target", "withdrawn", "because", "mirror_of", "mirrored")
VERSION_2 = (
    "DROP TABLE totals; DROP INDEX unmirrored; DROP INDEX replays;"
    + "".join(f"ALTER TABLE deliveries DROP COLUMN {name};" for name in COPIED)
    + "PRAGMA user_version = 2"
)


def test_each_delivery_counts_once_by_its_end(path: Path) -> None:
    """What is appended and what comes to its end is counted, a repeat is not, and what is none of these is pending."""
    with opened(path) as store:
        append(store, *(entry(id_) for id_ in "123"), entry("4", status=Status.DEAD), entry("5", status=Status.DROPPED))
        append(store, entry("1"), entry("6"))
        settle(store, published(1), refused(2))
        settle(store, published(1))
    totals = totals_of(path)
    assert (totals.accepted, totals.published, totals.dead, totals.dropped) == (6, 1, 2, 1)
    assert (totals.pending, totals.gone, totals.departed) == (2, 0, 0)


def test_totals_outlive_the_rows(path: Path) -> None:
    """What the sweep takes still counts, and it is known since when nothing of it was sent."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"), entry("3", status=Status.DROPPED))
        store.commit((), [Journal((published(1),))], NOW + 5)
        assert totals_of(path).swept_until is None
        assert store.sweep(NOW + 6) == 2
    totals = totals_of(path)
    assert (totals.accepted, totals.published, totals.dropped, totals.gone) == (3, 1, 1, 2)
    assert totals.swept_until == NOW + 5


async def test_a_start_is_marked_and_a_reopened_file_is_none(path: Path, metrics: Metrics) -> None:
    """The totals as of the start stand beside those of now, so that they can be held against the process's metrics."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["3"])
        await spool._access.write(Writer.reopen)
        await append_all(spool, ["4"])
    assert (totals_of(path, started=True).accepted, totals_of(path).accepted) == (2, 4)


def test_a_commit_without_an_end_writes_no_totals(path: Path) -> None:
    """A commit that only journals costs no page more than before."""
    with opened(path) as store:
        append(store, entry("1"))
        changes = store.connection.total_changes()
        store.commit((), [Journal()], NOW)
        assert store.connection.total_changes() == changes


def test_a_spool_of_version_2_is_counted_when_it_is_brought_up(path: Path) -> None:
    """Its rows are counted; those that had left before are known to have been published or dropped, and no more."""
    with opened(path) as store:
        append(store, entry("1"), OWED, entry("3", status=Status.DEAD), entry("4", status=Status.DROPPED))
        settle(store, published(1))
        before = totals_of(path)
    alter(path, VERSION_2)
    with opened(path):
        pass
    assert look(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert totals_of(path) == before.__class__(4, 1, 1, 1, 0, 0, 0, NOW, None, before.owed)
    assert before.owed > 0
    alter(path, "DELETE FROM deliveries WHERE number = 1")
    alter(path, VERSION_2)
    with opened(path):
        pass
    totals = totals_of(path)
    assert (totals.accepted, totals.pending, totals.departed, totals.made_at) == (4, 1, 1, 0)
    assert totals.swept_until is not None
    assert abs(totals.swept_until - time.time()) < 60


def test_a_file_of_before_losses_were_kept_is_brought_up(path: Path) -> None:
    """Its totals stand as they are, with nothing lost."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
        before = totals_of(path)
    alter(path, "ALTER TABLE totals DROP COLUMN owed; ALTER TABLE totals DROP COLUMN lost; PRAGMA user_version = 3")
    with opened(path):
        pass
    assert look(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert totals_of(path) == before


def test_a_file_of_before_the_room_owed_was_kept_is_brought_up(path: Path) -> None:
    """What its pending deliveries are owed is added up once, when it is opened."""
    with opened(path) as store:
        append(store, entry("1"), OWED, entry("3", status=Status.DEAD))
        settle(store, published(1))
        before, usage = totals_of(path), store.usage
    alter(path, "ALTER TABLE totals DROP COLUMN owed; PRAGMA user_version = 4")
    with opened(path) as store:
        assert store.usage == usage
    assert totals_of(path) == before
    assert before.owed > 0


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM totals",
        "UPDATE totals SET accepted = 1",
        "DELETE FROM deliveries",
        "UPDATE totals SET owed = -1",
    ],
)
def test_totals_that_do_not_fit_the_rows_are_damage(path: Path, change: str) -> None:
    """By them it is known at start that something is pending: where they are wrong the rows are counted again."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
        settle(store, published(1))
    alter(path, change)
    with pytest.raises(apsw.CorruptError, match="the totals do not fit the rows"), opened(path):
        pass
    salvage(path, connect_reader(path), 2)
    with opened(path) as store:
        assert store.pending == (change != "DELETE FROM deliveries")
