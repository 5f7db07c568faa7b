"""Page 1 ruined: what the file held is salvaged with a new spool's, or nothing is touched and a person asked."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.spool.failure import Damaged
from relay.spool.file import PAGE_SIZE, connect_reader
from relay.spool.lock import Lock
from relay.spool.salvage import salvage
from relay.spool.writer import Writer
from tests.spool.pages import ruin
from tests.spool.samples import MIB, alter, append, append_all, dump, entry, opened, published, settle, spool_at, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.metrics import Metrics

COUNT = 60
# Offset and length of what is written over: the magic string, the header's sizes, the whole header, the list of tables,
# one table's definition, and all of the page.
REGIONS = [(0, 16), (16, 8), (0, 100), (100, 40), (3600, 64), (0, PAGE_SIZE)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the file often."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)


def fill(path: Path) -> None:
    """Make a spool at rest, of which some are settled."""
    with opened(path) as store:
        append(store, *(entry(f"id-{number}", body=b"x" * 1000) for number in range(1, COUNT + 1)))
        settle(store, *(published(number) for number in range(1, 11)))


def overwrite(path: Path, start: int, length: int, byte: bytes = b"\xff") -> None:
    """Write over a part of page 1, as a bad disk does."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(byte * length)


@pytest.mark.parametrize("byte", [b"\xff", b"\x00"])
@pytest.mark.parametrize(("start", "length"), REGIONS)
async def test_nothing_is_lost_with_page_1(path: Path, metrics: Metrics, start: int, length: int, byte: bytes) -> None:
    """Wherever in page 1 the damage is, every delivery is there after the start, and the order goes on behind them."""
    fill(path)
    whole = dump(path)
    overwrite(path, start, length, byte)
    with capture_logs() as lines:
        async with spool_at(path, metrics) as spool:
            assert (spool.pending, spool.last_number, spool.losses.lost) == (COUNT - 10, COUNT, 0)
            assert [answer.number for answer in await append_all(spool, ["id-7"])] == [7]
    [salvaged] = [line for line in lines if line["event"] == "spool.salvaged"]
    assert (salvaged["kept"], salvaged["lost"], salvaged["damaged"]) == (COUNT, 0, [])
    kept = dump(path)
    for table in ("bodies", "records", "flights", "ids"):
        assert kept[table] == whole[table]


def test_what_stands_in_the_log_alone_is_kept_too(path: Path) -> None:
    """The log is read beside the file whose page 1 is ruined, as it is after a kill."""
    fill(path)
    with opened(path) as store:
        append(store, entry("late"))
        for file in (path, path.with_name("spool.db-wal")):
            (path.parent / f"killed{file.name[8:]}").write_bytes(file.read_bytes())
    killed = path.parent / "killed"
    overwrite(killed, 3600, 64)
    salvaged = salvage(killed, connect_reader(killed), 0)
    assert (salvaged.kept, salvaged.lost) == (COUNT + 1, 0)


def test_a_ruined_page_beside_page_1_costs_what_stood_there(path: Path) -> None:
    """What is counted as lost is what was on the other page."""
    fill(path)
    with closing(connect_reader(path)) as connection:
        [(leaf,)] = connection.execute("SELECT max(rootpage) FROM sqlite_schema WHERE name = 'bodies'").fetchall()
    ruin(path, [1, int(str(leaf))])
    salvaged = salvage(path, connect_reader(path), 0)
    assert (salvaged.kept, salvaged.lost) == (10, COUNT - 10)


def elsewhere(path: Path) -> None:
    """Let the tables stand elsewhere than in a new spool."""
    fill(path)
    alter(
        path, "CREATE TABLE more AS SELECT * FROM bodies; DROP TABLE bodies; ALTER TABLE more RENAME TO bodies; VACUUM"
    )


def all_ruined(path: Path) -> None:
    """Let nothing of it be readable."""
    fill(path)
    ruin(path, range(1, 1 + path.stat().st_size // PAGE_SIZE))


def roots_ruined(path: Path) -> None:
    """Let page 1 be whole, and what it leads to be ruined."""
    fill(path)
    ruin(path, range(2, 1 + path.stat().st_size // PAGE_SIZE))


def no_spool(path: Path) -> None:
    """Put something else in its place."""
    path.write_bytes(b"somebody else's" * 10_000)


@pytest.mark.parametrize("happened", [elsewhere, all_ruined, roots_ruined, no_spool])
def test_a_file_of_which_nothing_is_known_is_refused(path: Path, happened: object) -> None:
    """An empty file in its place would say that nothing was lost: it stays as it is, and what to do is said."""
    assert callable(happened)
    happened(path)
    if happened is elsewhere:
        overwrite(path, 3600, 400)
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"spool\.db .*restore a copy .* or move spool\.db\* out of"):
        Writer(path, Lock(path), max_size=64 * MIB, remembered=1000, ballast=0)
    assert path.read_bytes() == before
    assert not [file for file in path.parent.iterdir() if "damaged" in file.name]


async def test_while_it_runs_nothing_is_acknowledged_into_what_may_be_lost(path: Path, metrics: Metrics) -> None:
    """Where nothing can be read any more it refuses, with the same advice, and counts nothing as salvaged."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
        await spool._access.write(_fold_log)
        ruin(path, range(1, 12))
        await spool._access.write(lambda writer: writer.store.connection.pragma("shrink_memory"))
        spool._fail(Damaged("found by somebody who reads"))
        with capture_logs() as lines:
            await until(lambda: "restore a copy" in str(spool.fault))
            for _ in range(2):
                with pytest.raises(Unavailable, match="restore a copy"):
                    await append_all(spool, ["3"])
            assert spool.fault
            assert "tried again" not in spool.fault, "a person must act"
        told = [line["event"] for line in lines]
        assert (told.count("spool.damaged"), told.count("spool.salvaged")) == (1, 0)
    assert not [file for file in path.parent.iterdir() if "damaged" in file.name]


async def test_damage_found_in_opening_anew_is_mended_for_readers_too(path: Path, metrics: Metrics) -> None:
    """A commit failed, and the file turns out to be damaged: who reads then reads the file that was made anew."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
        await spool._access.write(_fold_log)
        overwrite(path, 0, 100)
        spool._store.sound = False
        with pytest.raises(Unavailable):
            await append_all(spool, ["3"])
        await until(lambda: spool.fault is None)
        await append_all(spool, ["4"])
        assert [stored.number for stored in await spool.page(0, 99)] == [1, 2, 3]


def _fold_log(writer: Writer) -> None:
    writer.store.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
