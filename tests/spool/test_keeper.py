"""The keeper: the log is copied into the database beside the writer, and is said to grow too fast only when it does."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
from structlog.testing import capture_logs

from relay.spool.keeper import CHECKPOINT_FRAMES, LOG_FRAMES_MAX, Keeper
from tests.spool.samples import append, entry, opened

if TYPE_CHECKING:
    from pathlib import Path


def copied(path: Path) -> bool:
    """Tell whether the database itself, without its log, has anything in it."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(f"file:{path}?immutable=1", flags=flags)) as connection:
        return bool(connection.execute("SELECT * FROM sqlite_schema").fetchall())


async def test_a_log_that_has_grown_is_copied(path: Path) -> None:
    """Up to a thousand frames it is left alone; the commit that finds more does not wait for the copy."""
    with opened(path) as store:
        append(store, entry("1"))
        assert not copied(path)
        keeper = Keeper(path)
        await keeper.open()
        assert not await keeper.overrun(CHECKPOINT_FRAMES)
        await keeper.close()
        assert not copied(path)
        await keeper.open()
        assert not await keeper.overrun(CHECKPOINT_FRAMES + 1)
        await keeper.close()  # behind what is under way
        keeper.end()
        assert copied(path)


async def test_a_log_that_outgrows_the_copy_is_told_from_time_to_time(path: Path) -> None:
    """Beyond its bound, and again each time it has grown by as much as a copy is made for; once short, as before."""
    with opened(path) as store:
        append(store, entry("1"))
        keeper = Keeper(path)
        await keeper.open()
        sizes = [
            LOG_FRAMES_MAX,
            LOG_FRAMES_MAX + 1,
            LOG_FRAMES_MAX + 1 + CHECKPOINT_FRAMES,
            LOG_FRAMES_MAX + 2 + CHECKPOINT_FRAMES,
            LOG_FRAMES_MAX + 2 + CHECKPOINT_FRAMES,
            LOG_FRAMES_MAX,
            LOG_FRAMES_MAX + 1,
        ]
        assert [await keeper.overrun(size) for size in sizes] == [False, True, False, True, False, False, True]
        await keeper.close()
        keeper.end()


async def test_a_copy_that_fails_is_told(path: Path) -> None:
    """The next one may succeed: nothing is stopped by it."""
    with opened(path) as store:
        append(store, entry("1"))
        keeper = Keeper(path)
        await keeper.open()
        await keeper.close()
        with capture_logs() as lines:
            await keeper.overrun(LOG_FRAMES_MAX + 1)
        keeper.end()
    assert lines.pop().items() >= {
        "event": "spool.failed", "log_level": "warning", "path": str(path), "during": "checkpoint",
    }.items()  # fmt: skip
    assert lines == []
