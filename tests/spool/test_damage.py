"""Damage: what can be read of a spool goes on, the rest is counted and set aside; what was deleted is put back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.spool import Damaged, Journal
from relay.spool.file import PAGE_SIZE, connect_reader
from relay.spool.lock import Lock
from relay.spool.salvage import salvage
from relay.spool.writer import Writer
from tests.spool.pages import pages_of, ruin
from tests.spool.samples import (
    FLIGHT,
    MIB,
    append,
    append_all,
    dump,
    entry,
    log_of,
    look,
    opened,
    published,
    spool_at,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from relay.metrics import Metrics
    from relay.spool import Entry, Spool

COUNT = 400


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the file often."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)


def some(number: int) -> Entry:
    """Give a delivery of which three fill a page."""
    return entry(f"id-{number}", body=f"{number:06}".encode() * 200)


def fill(path: Path) -> None:
    """Make a spool with deliveries, of which some are settled, and a flight."""
    with opened(path) as store:
        for start in range(1, COUNT + 1, 50):
            append(store, *(some(number) for number in range(start, start + 50)))
        store.commit((), [Journal(tuple(published(number) for number in range(1, 101)), flights=(FLIGHT,))], 0.0)


@pytest.mark.parametrize("table", ["deliveries", "bodies", "ids", "records", "flights"])
def test_what_can_be_read_is_kept(path: Path, table: str) -> None:
    """Ruined pages cost what stood on them and no more: the loss is counted, and the damaged file is kept."""
    fill(path)
    whole = dump(path)
    leaves = pages_of(path, table)
    ruin(path, leaves[len(leaves) // 2 :][:2])
    salvaged = salvage(path, connect_reader(path), COUNT)
    kept = dump(path)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]
    assert salvaged.damaged == (table,)
    assert salvaged.aside is not None
    assert salvaged.aside.name.startswith("spool.db.damaged-")
    pending = range(101, COUNT + 1)
    lost = [number for number in pending if number not in {row[0] for row in kept["deliveries"]}]
    if table in {"deliveries", "bodies"}:
        assert len(lost) == salvaged.lost
        assert 3 <= len(lost) <= 100
    else:
        assert (lost, salvaged.lost) == ([], 0)
    for name in {"deliveries", "bodies", "records"} - {table}:
        assert kept[name] == [row for row in whole[name] if row[0] not in lost]
    assert kept["flights"] == ([] if table == "flights" else whole["flights"])
    assert [row[0] for row in kept["ids"]] == list(range(1, COUNT + 1))
    with opened(path, remembered=10_000) as store:
        again = append(store, *(some(number) for number in range(1, COUNT + 1)))
    unknown = [place for place, answer in enumerate(again, 1) if not answer.duplicate]
    assert all(answer.number == place for place, answer in enumerate(again, 1) if answer.duplicate)
    assert 3 <= len(unknown) < COUNT if table == "ids" else unknown == lost, "what is lost may be sent again"


def test_a_file_of_which_nothing_can_be_read_gives_no_number_twice(path: Path) -> None:
    """When all that was stored is lost the order goes on behind it."""
    fill(path)
    ruin(path, list(range(2, 1 + path.stat().st_size // PAGE_SIZE)))
    salvaged = salvage(path, connect_reader(path), COUNT)
    assert (salvaged.kept, salvaged.lost) == (0, COUNT)
    with opened(path) as store:
        assert [answer.number for answer in append(store, entry("next"))] == [COUNT + 1]


async def test_damage_that_is_found_when_it_is_read(path: Path, metrics: Metrics) -> None:
    """A page that cannot be read costs its reader an answer; then the spool is whole again, and says what is lost."""
    fill(path)
    ruin(path, pages_of(path, "bodies")[-9:-7])
    with capture_logs() as lines:
        async with spool_at(path, metrics) as spool:
            with pytest.raises(Unavailable, match=r"the spool could not be read: .*malformed"):
                await read_all(spool)
            assert spool.fault
            await until(lambda: spool.fault is None)
            found = await read_all(spool)
            assert [answer.number for answer in await append_all(spool, ["new", "id-7"])] == [COUNT + 1, 7]
            assert spool.pending == len(found) + 1
            assert spool.losses.lost == COUNT - 100 - len(found) > 0
    assert all(body == some(number).delivery.body for number, body in found.items())
    events = [line["event"] for line in lines]
    assert events == ["spool.opened", "spool.failed", "spool.damaged", "spool.salvaged", "spool.opened"]
    assert str(lines[3]["aside"]).startswith(f"{path}.damaged-")
    assert lines[2] == {"event": "spool.damaged", "log_level": "error", "path": str(path)}
    salvaged = {"log_level": "error", "path": str(path), "kept": len(found) + 100, "damaged": ["bodies"]}
    assert lines[3].items() >= salvaged.items()


async def test_damage_that_is_found_is_mended_although_commits_succeed(path: Path, metrics: Metrics) -> None:
    """It is told until it is mended, by what comes next, and no later fault is taken for damage."""
    fill(path)
    async with spool_at(path, metrics) as spool:
        with capture_logs() as lines:
            async with spool._mending:
                spool._fail(Damaged("the spool could not be read"))
                await append_all(spool, ["new"])
                assert spool.fault
            await until(lambda: spool.fault is None)
            spool._fail(Unavailable("the disk is full"))
            await until(lambda: spool.fault is None)
    assert [line["event"] for line in lines].count("spool.salvaged") == 1


async def test_damage_that_is_found_at_start(path: Path, metrics: Metrics) -> None:
    """What is found out when the file is opened is mended before the spool serves."""
    fill(path)
    ruin(path, pages_of(path, "kept")[:1])
    async with spool_at(path, metrics) as spool:
        assert (spool.pending, spool.losses.lost) == (300, 0)
        assert len(await read_all(spool)) == 300


@pytest.mark.parametrize("what", ["deleted", "replaced", "log deleted", "folder moved"])
async def test_what_is_taken_away_beneath_it_is_put_back(path: Path, metrics: Metrics, what: str) -> None:
    """Nothing is acknowledged into a file that is gone, and nothing that was is lost: it can be read still."""
    path = path.parent / "data" / path.name
    told: list[int] = []
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
        await spool.write(Journal(flights=(FLIGHT,)))
        if what == "folder moved":
            path.parent.rename(path.parent.with_name("moved"))
            path.parent.mkdir()
        elif what == "log deleted":
            log_of(path).unlink()
        else:
            path.unlink()
        if what == "replaced":
            path.write_text("somebody else's")
        with pytest.raises(Unavailable, match="was deleted or replaced beneath the relay"):
            await spool.append(entry("3"), lambda appended: told.append(appended.number))
        await until(lambda: spool.fault is None)
        assert [answer.number for answer in await append_all(spool, ["3", "2"])] == [3, 2]
        assert [stored.number for stored in await spool.page(0, 9)] == [1, 2, 3]
        assert (spool.losses.lost, len(await spool.flights())) == (0, 1)
    assert told == []
    assert look(path, "SELECT number, event_id FROM deliveries") == [(1, "1"), (2, "2"), (3, "3")]
    aside = [file.read_bytes() for file in path.parent.glob("spool.db.damaged-*")]
    assert (b"somebody else's" in aside) == (what == "replaced")


async def test_what_is_taken_away_while_nobody_writes_is_put_back_too(path: Path, metrics: Metrics) -> None:
    """The file is looked after also while nothing comes, so that a crash later loses nothing."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1"])
        with capture_logs() as lines:
            path.unlink()  # noqa: ASYNC240 - nobody else waits
            await until(lambda: any(line["event"] == "spool.salvaged" for line in lines) and spool.fault is None)
        assert look(path, "SELECT number FROM deliveries") == [(1,)]


async def test_what_is_taken_away_while_a_read_fails_is_put_back_too(path: Path, metrics: Metrics) -> None:
    """Where the disk fails as the file is deleted, what was acknowledged is read before the connection closes."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2", "3"])
        await asyncio.to_thread(path.unlink)
        spool._fail(Unavailable("the spool could not be read: disk I/O error"))
        await until(lambda: spool.fault is None and path.exists())
        assert sorted(await read_all(spool)) == [1, 2, 3]
    assert look(path, "SELECT number FROM deliveries") == [(1,), (2,), (3,)]


def test_what_is_taken_away_when_a_commit_failed_is_put_back_too(path: Path) -> None:
    """A commit that would open the file anew does not close the connection that alone reads what was acknowledged."""
    writer = Writer(path, Lock(path), max_size=64 * MIB, remembered=1000, ballast=0)
    append(writer.store, entry("1"), entry("2"))
    path.unlink()
    writer.store.sound = False
    with pytest.raises(Damaged):
        writer.commit([entry("3")], ())
    writer.renew()
    writer.close()
    assert look(path, "SELECT number FROM deliveries") == [(1,), (2,)]


def test_a_file_made_anew_that_cannot_be_opened_is_not_made_of_a_closed_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The salvage closes what it read: when the new file fails at once, the next attempt reads that one."""
    writer = Writer(path, Lock(path), max_size=64 * MIB, remembered=1000, ballast=0)
    append(writer.store, entry("1"), entry("2"))
    path.unlink()
    with monkeypatch.context() as failing:
        failing.setattr(Writer, "_open", Mock(side_effect=Unavailable("no more files")))
        with pytest.raises(Unavailable, match="no more files"):
            writer.renew()
    writer.renew()
    assert (writer.store.last_number, writer.store.pending, writer.losses.lost) == (2, 2, 0)
    writer.close()


async def read_all(spool: Spool) -> dict[int, bytes]:
    """Read what is pending, page by page."""
    found: dict[int, bytes] = {}
    while page := await spool.page(max(found, default=0), spool.last_number):
        found |= {stored.number: stored.delivery.body for stored in page}
    return found
