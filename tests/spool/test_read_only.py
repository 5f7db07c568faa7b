"""A spool that becomes read-only while it runs: nothing is acknowledged, it is said what to do, and then it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from relay.core.errors import Unavailable
from tests.spool.disk import Disk
from tests.spool.samples import append_all, look, spool_at, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.metrics import Metrics


class ReadOnlyDisk(Disk):
    """A disk that may be written, or may not."""

    read_only = False

    def step(self) -> None:
        """Refuse every write while it is read-only, as SQLite refuses a file that it may only read."""
        if self.read_only:
            raise apsw.ReadOnlyError("attempt to write a readonly database")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadOnlyDisk]:
    """Put it under SQLite's files, and look after them often."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    disk = ReadOnlyDisk(tmp_path)
    yield disk
    disk.unregister()


async def test_nothing_is_acknowledged_while_it_is_read_only(path: Path, metrics: Metrics, disk: ReadOnlyDisk) -> None:
    """What is refused is not there afterwards, what was acknowledged is, and numbers go on without a gap."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
        disk.read_only = True
        for _ in range(3):
            with pytest.raises(Unavailable, match="make it writable") as refused:
                await append_all(spool, ["3"])
            assert refused.value.retry_after
            assert "make it writable" in str(spool.fault)
        disk.read_only = False
        await until(lambda: spool.fault is None)
        assert [answer.number for answer in await append_all(spool, ["4", "2"])] == [3, 2]
        assert spool.losses.lost == 0
    assert look(path, "SELECT event_id FROM deliveries ORDER BY number") == [("1",), ("2",), ("4",)]
    assert not [*path.parent.glob("*.damaged-*")]
