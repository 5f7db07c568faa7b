"""A full disk: what is pending drains by means of the ballast, and nothing is told to be stored that is not."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from relay.core.errors import Cause, Unavailable
from relay.spool import Appended, Journal, Spool
from relay.spool.lock import Lock
from relay.spool.writer import Writer
from tests.small_disk import crowd, small_disk
from tests.spool.samples import FLIGHT, MIB, entry, forget, look, published, spool_at, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.metrics import Metrics

SIZE = 12 * MIB
BALLAST = 2 * MIB
BODY = bytes(20_000)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Name a spool on a small disk."""
    with small_disk(tmp_path / "disk", SIZE) as folder:
        yield folder / "spool.db"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the disk often."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.02)


def ballast_of(path: Path) -> Path:
    """Name the ballast of a spool."""
    return path.with_name(f"{path.name}.ballast")


async def store(spool: Spool, first: int, count: int) -> list[Appended | BaseException]:
    """Append so many deliveries, each as a request of its own."""
    return await asyncio.gather(
        *(spool.append(entry(str(number), body=BODY), forget) for number in range(first, first + count)),
        return_exceptions=True,
    )


async def drain(spool: Spool, numbers: range) -> None:
    """Fly and settle one delivery after the other, as lanes do; each commit must be taken."""
    for number in numbers:
        flight = replace(FLIGHT, items=((number, b"key"),))
        (flown,) = (await spool.write(Journal(flights=(flight,)))).flights
        done = (await spool.write(Journal((published(number),), landed=(flown.id,)))).done
        assert [one.number for one in done] == [number]


async def test_what_is_pending_drains_while_others_fill_the_disk(path: Path, metrics: Metrics) -> None:
    """The ballast makes room for flights and settlements; deliveries are refused, and taken when there is room."""
    async with spool_at(path, metrics, ballast=BALLAST) as spool:
        assert ballast_of(path).stat().st_blocks * 512 == BALLAST
        assert not [one for one in await store(spool, 1, 100) if not isinstance(one, Appended)]
        hog = crowd(path.parent)
        with capture_logs() as lines:
            refused = [one for one in await store(spool, 101, 200) if not isinstance(one, Appended)]
            assert refused, "the disk is full"
            assert {one.cause for one in refused if isinstance(one, Unavailable)} == {Cause.SPOOL_FULL}
            assert (spool.squeezed, ballast_of(path).exists()) == (True, False)
            assert [line for line in lines if line["event"] == "spool.squeezed"] == [
                {"event": "spool.squeezed", "log_level": "error", "path": str(path), "freed": BALLAST}
            ]
            await drain(spool, range(1, spool.last_number + 1))
            hog.unlink()
            await until(lambda: not spool.squeezed)
        assert lines[-1] == {"event": "spool.eased", "log_level": "info", "path": str(path)}
        assert (spool.pending, spool.usage.max_size) == (0, 64 * MIB)
        assert ballast_of(path).stat().st_blocks * 512 == BALLAST
        stored = spool.last_number
        assert [one.number for one in await store(spool, 1001, 5) if isinstance(one, Appended)] == [
            stored + place for place in range(1, 6)
        ]
    pending = look(path, "SELECT number FROM deliveries WHERE status = 'pending'")
    assert pending == [(stored + place,) for place in range(1, 6)]
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


async def test_room_that_settled_ones_leave_is_used_while_the_disk_is_full(path: Path, metrics: Metrics) -> None:
    """Deliveries go into what the file has already: settled ones make way for them, and no refusal is for good."""
    async with spool_at(path, metrics, ballast=BALLAST, max_size=8 * MIB, retention=1e6) as spool:
        await store(spool, 1, 200)
        await drain(spool, range(1, 201))
        crowd(path.parent)
        while not spool.squeezed:
            await store(spool, spool.last_number + 1, 20)
        first = spool.last_number + 1 - spool.pending
        await drain(spool, range(first, spool.last_number + 1))
        taken = spool.last_number + 20
        while spool.last_number < taken:
            await store(spool, spool.last_number + 1, 1)
            await asyncio.sleep(0)
        assert spool.squeezed
    pending = look(path, "SELECT count(*) FROM deliveries JOIN bodies USING (number) WHERE status = 'pending'")
    assert pending == [(20,)]


async def test_the_spool_itself_may_fill_the_disk(path: Path, metrics: Metrics) -> None:
    """A `max_size` that the disk cannot hold costs no accepted delivery: what was told stored is there."""
    async with spool_at(path, metrics, ballast=BALLAST) as spool:
        stored: list[int] = []
        for start in range(1, 1001, 10):
            answers = await store(spool, start, 10)
            stored += [one.number for one in answers if isinstance(one, Appended)]
            if len(answers) > len([one for one in answers if isinstance(one, Appended)]):
                break
        assert spool.squeezed
        assert spool.usage.full
        await drain(spool, range(1, len(stored) + 1))
    assert stored == list(range(1, len(stored) + 1))
    assert look(path, "SELECT max(number) FROM ids") == [(len(stored),)]


async def test_a_spool_opens_on_a_full_disk(path: Path, metrics: Metrics) -> None:
    """SQLite makes files when it opens another: the ballast makes room for them, and what is pending drains."""
    async with spool_at(path, metrics, ballast=BALLAST) as spool:
        await store(spool, 1, 50)
    hog = crowd(path.parent)
    async with spool_at(path, metrics, ballast=BALLAST) as spool:
        assert (spool.squeezed, spool.pending) == (True, 50)
        await drain(spool, range(1, 51))
        hog.unlink()
        await until(lambda: not spool.squeezed)


async def test_a_ballast_that_is_not_wanted_any_more_goes(path: Path, metrics: Metrics) -> None:
    """Its size follows the configuration, and without one there is no file."""
    for size in (BALLAST, MIB, 3 * MIB, 0):
        async with spool_at(path, metrics, ballast=size) as spool:
            assert not spool.squeezed
            assert (ballast_of(path).stat().st_size if size else 0) == size
            assert ballast_of(path).exists() == bool(size)


def test_what_no_squeeze_helps_is_refused_and_journals_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there is no room either way deliveries are told that the disk is full, and what settles is on disk."""
    writer = Writer(tmp_path / "spool.db", Lock(tmp_path / "spool.db"), max_size=SIZE, remembered=1000, ballast=0)
    with closing(writer):
        writer.commit([entry("1")], [])
        monkeypatch.setattr(writer, "_commit_if_room", lambda _entries, _journals: None)
        answers, [journalled] = writer.commit([entry("2"), entry("3")], [Journal((published(1),))])
        told = {(str(one), one.retry_after, one.cause) for one in answers if isinstance(one, Unavailable)}
        assert (len(answers), told) == (2, {("the disk is full", 5, Cause.SPOOL_FULL)})
        assert [done.number for done in journalled.done] == [1]
        assert (writer.squeezed, writer.store.pending, writer.store.last_number) == (True, 0, 1)
