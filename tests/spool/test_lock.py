"""The lock goes with its file: whoever deletes it lets no second relay write what a first one writes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Unavailable
from relay.spool.lock import InUse
from tests.spool.samples import append_all, look, spool_at, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.metrics import Metrics
    from relay.spool import Spool


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the file often."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the file only at commits."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 3600.0)


def take_away(path: Path, what: str) -> None:
    """Delete the lock, or everything, or move the folder."""
    if what == "folder moved":
        path.parent.rename(path.parent.with_name("moved"))
        path.parent.mkdir()
    for file in path.parent.glob("spool.db*"):
        if what == "all" or file.name.endswith(".lock"):
            file.unlink()


WAYS = pytest.mark.parametrize("what", ["lock", "all", "folder moved"])


@WAYS
async def test_what_is_taken_away_is_locked_again(path: Path, metrics: Metrics, what: str) -> None:
    """Once the first has put everything back a second one is refused, the ballast is there, and nothing is lost."""
    path = path.parent / "data" / path.name
    async with spool_at(path, metrics, ballast=1 << 16) as spool:
        await append_all(spool, ["1", "2"])
        take_away(path, what)
        await until(lambda: spool.fault is None and path.with_name("spool.db.lock").exists())
        with pytest.raises(InUse):
            await spool_at(path, metrics).__aenter__()
        assert [answer.number for answer in await append_all(spool, ["3", "1"])] == [3, 1]
        assert path.with_name("spool.db.ballast").exists()
    assert look(path, "SELECT number, event_id FROM deliveries") == [(1, "1"), (2, "2"), (3, "3")]


@WAYS
@pytest.mark.usefixtures("patient")
async def test_never_do_two_write(path: Path, metrics: Metrics, what: str) -> None:
    """While a second one has the lock the first refuses, and says why; what either has acknowledged stays on disk."""
    path = path.parent / "data" / path.name
    async with spool_at(path, metrics) as first:
        await append_all(first, ["1", "2"])
        take_away(path, what)
        second = spool_at(path, metrics)
        async with second:
            await append_all(second, ["other-1", "other-2"])
            with pytest.raises(Unavailable, match="deleted or replaced beneath the relay"):
                await append_all(first, ["3"])
            await until(lambda: "in use by another relay" in str(first.fault))
            with pytest.raises(Unavailable):
                await append_all(first, ["3"])
            assert [answer.number for answer in await append_all(second, ["other-3", "other-1"])][1] in {1, 3}
            assert second.fault is None
        with suppress(Unavailable):
            await first.mend()
        assert ("restart this one" in await refusal(first)) == (what == "lock")
    files = [path, *path.parent.glob("*.damaged-*Z")]
    found = {str(id_) for file in files for (id_,) in look(file, "SELECT event_id FROM deliveries")}
    assert found >= {"1", "2", "other-1", "other-2", "other-3"}


async def refusal(spool: Spool) -> str:
    """Give what an append is refused with; nothing when it is not."""
    try:
        await append_all(spool, ["4"])
    except Unavailable as error:
        return str(error)
    return ""
