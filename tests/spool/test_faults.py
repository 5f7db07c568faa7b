"""Faults: a disk that refuses, a file that was changed, a process that was killed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.spool import Journal
from tests.spool.samples import (
    FLIGHT,
    MIB,
    alter,
    append_all,
    disk_refuses,
    entry,
    forget,
    look,
    opened,
    published,
    spool_at,
    until,
)

if TYPE_CHECKING:
    from relay.metrics import Metrics

FORBID = (
    "CREATE TRIGGER fault BEFORE INSERT ON deliveries WHEN new.event_id = 'forbidden' "
    "BEGIN SELECT raise(ABORT, 'forbidden'); END"
)


async def test_a_commit_that_fails_is_told_to_all_of_it(path: Path, metrics: Metrics) -> None:
    """All that shared a failed commit get `Unavailable`, none of it is stored or handed on; the next one succeeds."""
    told: list[int] = []
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1"])
        alter(path, FORBID)
        with capture_logs() as lines:
            answers = await asyncio.gather(
                *(spool.append(entry(id_), lambda a: told.append(a.number)) for id_ in ("2", "forbidden")),
                spool.write(Journal((published(1),))),
                return_exceptions=True,
            )
            assert spool.fault == "the spool could not be written: forbidden; it is tried again every second"
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        assert lines == [
            {
                "event": "spool.failed",
                "log_level": "error",
                "path": str(path),
                "error": "the spool could not be written: forbidden",
            }
        ]
        assert (told, spool.last_number, spool.pending) == ([], 1, 1)
        assert [answer.number for answer in await append_all(spool, ["3", "2"])] == [2, 3]
        assert spool.fault is None


async def test_a_fault_of_ours_is_told_too(path: Path, metrics: Metrics) -> None:
    """A journal that nobody can write fails its commit as the disk would: those beside it may come again."""
    async with spool_at(path, metrics) as spool:
        bad = Journal((published(1 << 63),))
        answers = await asyncio.gather(spool.write(bad), spool.append(entry("1"), forget), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 2
        assert str(answers[0]).startswith("the spool failed unexpectedly: OverflowError(")
        assert [answer.number for answer in await append_all(spool, ["1"])] == [1]


async def test_after_a_disk_error_the_file_is_opened_anew(
    path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk refuses, all get `Unavailable`; once it writes again the spool goes on by itself."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    async with spool_at(path, metrics) as spool:
        await spool.append(entry("1", body=bytes(MIB)), forget)  # the log is longer than what tests print
        await spool.write(Journal(flights=(FLIGHT, FLIGHT)))
        await spool.write(Journal((published(1),), landed=(1, 2)))
        with capture_logs() as lines:
            with disk_refuses(path):
                with pytest.raises(Unavailable, match="the spool could not be written: disk I/O error"):
                    await append_all(spool, ["2", "3"])
                with pytest.raises(Unavailable):
                    await spool.write(Journal(flights=(FLIGHT,)))
                assert spool.fault
            await until(lambda: spool.fault is None)
        assert {line["event"] for line in lines} == {"spool.failed", "spool.opened"}
        assert [answer.number for answer in await append_all(spool, ["2", "1"])] == [2, 1]
        journalled = await spool.write(Journal((published(2),), flights=(FLIGHT,)))
        assert journalled.flights[0].id == 3, "an id that a lane may still name as landed is not given again"
        assert [stored.number for stored in await spool.page(0, 10)] == []
    assert look(path, "SELECT number, status FROM deliveries") == [(1, "published"), (2, "published")]


@pytest.mark.slow
def test_what_was_told_survives_a_kill(path: Path) -> None:
    """A process killed as soon as it said a number leaves that delivery on disk, and no gap; ten times over."""
    root = Path(__file__).parents[2]
    accepted: dict[int, str] = {}
    for round_ in range(10):
        command = [sys.executable, "-m", "tests.spool.appender", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as child:
            assert child.stdout is not None
            told = 0
            for line in child.stdout:
                if found := re.fullmatch(r"appended (\d+) (\S+)\n", line):
                    assert accepted.setdefault(int(found[1]), found[2]) == found[2]
                    told += 1
                    if told == 20 + 7 * round_:
                        child.kill()
    with opened(path) as store:
        last = store.last_number
    assert len(accepted) > 300
    assert look(path, "SELECT number FROM deliveries ORDER BY number") == [(number,) for number in range(1, last + 1)]
    stored = {
        number: id_ for number, id_ in look(path, "SELECT number, event_id FROM deliveries") if number in accepted
    }
    assert stored == accepted
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.slow
def test_what_was_journalled_survives_a_kill(path: Path) -> None:
    """What a killed process said of flights and settlements is on disk, and its counts are a recount's; ten times."""
    root = Path(__file__).parents[2]
    ended: set[int] = set()
    flying: dict[int, int] = {}
    for round_ in range(10):
        command = [sys.executable, "-m", "tests.spool.worker", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as child:
            assert child.stdout is not None
            for told, line in enumerate(child.stdout):
                match line.split():
                    case ["flown", id_, number]:
                        flying[int(id_)] = int(number)
                    case ["settled", number, id_]:
                        ended.add(int(number))
                        del flying[int(id_)]
                    case _:
                        pass
                if told == 20 + 11 * round_:
                    child.kill()
        found = {row[0]: row[1] for row in look(path, "SELECT number, status FROM deliveries")}
        flights = {row[0] for row in look(path, "SELECT id FROM flights")}
        assert {found[number] for number in ended} <= {"published"}
        # A settlement that nobody was told of may be on disk, and then its flight is gone with it, both or none.
        assert flying.keys() - flights == {one for one, number in flying.items() if found[number] == "published"}
        ended |= {number for one, number in flying.items() if one not in flights}
        flying = {one: number for one, number in flying.items() if one in flights}
        with opened(path) as store:
            assert store.pending == list(found.values()).count("pending")
    assert len(ended) > 100
