"""Spool: group commit, what its callers are told, and what survives."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import apsw
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from relay.core.errors import Cause, Unavailable
from relay.core.model import Placed, Status
from relay.spool import Appended, Fact, Journal, Spool, Told
from relay.spool.file import PAGE_SIZE, connect_reader
from relay.spool.group import TURNS
from relay.spool.store import Store
from tests.spool.samples import FLIGHT, MIB, alter, append_all, entry, forget, log_of, look, published, spool_at, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.metrics import Metrics

LOG_MAX = 8 * MIB


def commits(metrics: Metrics) -> tuple[int, int]:
    """Count the commits, and the operations that they had."""
    shown = {
        sample.name: int(sample.value)
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }
    return shown["relay_commit_operations_count"], shown["relay_commit_operations_sum"]


@contextmanager
def writer_held(path: Path) -> Iterator[None]:
    """Hold up the commit that comes next until this is left, as a slow disk would."""
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def turns(number: int) -> None:
    """Let the event loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_who_comes_soon_joins(path: Path, metrics: Metrics) -> None:
    """A commit begins some turns of the loop after the first that waits for it, with those that came meanwhile."""
    async with spool_at(path, metrics) as spool:
        tasks = []
        for id_ in "abc":
            tasks.append(asyncio.create_task(spool.append(entry(id_), forget)))
            await turns(3)
        await asyncio.gather(*tasks)
        assert commits(metrics) == (1, 3)


async def test_what_waits_shares_one_commit(path: Path, metrics: Metrics) -> None:
    """Whatever has gathered when a commit returns goes to disk together in the next one."""
    async with spool_at(path, metrics) as spool:
        with writer_held(path):
            first = asyncio.create_task(spool.append(entry("first"), forget))
            await turns(TURNS + 1)  # its commit begins
            rest = [asyncio.create_task(spool.append(entry(str(n)), forget)) for n in range(100)]
            journal = asyncio.create_task(spool.write(Journal(flights=(FLIGHT,))))
            await asyncio.sleep(0)
            assert commits(metrics) == (0, 0)
        assert [(await task).number for task in (first, *rest)] == list(range(1, 102))
        assert [flight.id for flight in (await journal).flights] == [1]
        assert commits(metrics) == (2, 102)


async def test_at_rest_no_commit_is_under_way(path: Path, metrics: Metrics) -> None:
    """Who waits for that goes on when the commit is over, well or not, and in time for the next one."""
    async with spool_at(path, metrics) as spool:
        await asyncio.wait_for(spool.rest(), 1)
        with writer_held(path):
            first = asyncio.create_task(spool.append(entry("1"), forget))
            await turns(TURNS + 1)  # its commit begins
            second = asyncio.create_task(spool.append(entry("2"), forget))
            resting = asyncio.create_task(spool.rest())
            assert not (await asyncio.wait([resting], timeout=0.1))[0]
        await resting
        assert commits(metrics) == (1, 1)
        await asyncio.gather(first, second, spool.write(Journal(flights=(FLIGHT,))))
        assert commits(metrics) == (2, 3)
        with pytest.raises(Unavailable):
            await spool.write(Journal((published(1 << 63),)))
        await asyncio.wait_for(spool.rest(), 1)


async def test_many_of_one_id_get_one_number(path: Path, metrics: Metrics) -> None:
    """A hundred requests with one id at once are one delivery and 99 repeats."""
    async with spool_at(path, metrics) as spool:
        answers = await append_all(spool, ["same"] * 100)
        assert {answer.number for answer in answers} == {1}
        assert sum(answer.duplicate for answer in answers) == 99
        assert spool.pending == spool.last_number == 1


async def test_what_is_on_disk_is_handed_on_first(path: Path, metrics: Metrics) -> None:
    """`on_disk` is called once for each that was stored, in order of acceptance, before anybody who waits goes on."""
    told: list[str] = []

    async def request(spool: Spool, id_: str) -> None:
        appended = await spool.append(entry(id_), lambda on_disk: told.append(f"stored {on_disk.number}"))
        told.append(f"answered {appended.number}")

    async with spool_at(path, metrics) as spool:
        await asyncio.gather(*(request(spool, id_) for id_ in ("a", "b", "a", "c")))
    assert told[:3] == ["stored 1", "stored 2", "stored 3"]
    assert sorted(told[3:]) == ["answered 1", "answered 1", "answered 2", "answered 3"]


async def test_who_left_is_not_forgotten(path: Path, metrics: Metrics) -> None:
    """A request that is cancelled while it waits leaves its delivery on disk, and it is handed on all the same."""
    told: list[int] = []
    async with spool_at(path, metrics) as spool:
        tasks = [
            asyncio.create_task(spool.append(entry(id_), lambda on_disk: told.append(on_disk.number))) for id_ in "abc"
        ]
        await asyncio.sleep(0)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert told == [1, 2, 3]
        assert spool.pending == 3


async def test_a_refusal_is_its_own(path: Path, metrics: Metrics) -> None:
    """What does not fit is refused and never handed on; what shares its commit is stored."""
    told: list[int] = []
    async with spool_at(path, metrics, max_size=2 * MIB) as spool:
        answers = await asyncio.gather(
            *(
                spool.append(entry(str(size), body=bytes(size)), lambda a: told.append(a.number))
                for size in (1, MIB * 4)
            ),
            return_exceptions=True,
        )
        assert answers[0] == Appended(1, Status.PENDING, None, None)
        assert isinstance(answers[1], Unavailable)
        assert answers[1].cause is Cause.SPOOL_FULL
        assert (told, spool.fault) == ([1], None)


async def test_what_is_written_can_be_read(path: Path, metrics: Metrics) -> None:
    """What a call returned, the reader sees: pages, single deliveries, facts and flights."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
        journalled = await spool.write(Journal((published(1),), flights=(FLIGHT,)))
        assert [done.number for done in journalled.done] == [1]
        assert await spool.flights() == list(journalled.flights)
        assert [stored.number for stored in await spool.page(0, 10)] == [2]
        assert list(await spool.load([1, 2, 3])) == [1, 2]
        assert await spool.fact(1) == Fact(1, "1", Status.PUBLISHED, None, (Placed("a", 0, 101),))
        assert (spool.horizon, spool.usage.max_size) == ((2, 1), 64 * MIB)


async def test_closing_finishes_what_waits(path: Path, metrics: Metrics) -> None:
    """The commit under way and what waits for the next one are finished first; the file is whole without its log."""
    spool = await spool_at(path, metrics).__aenter__()
    with writer_held(path):
        first = asyncio.create_task(spool.append(entry("1"), forget))
        await turns(TURNS + 1)  # its commit begins
        waiting = asyncio.gather(append_all(spool, ["2", "3"]), spool.write(Journal(flights=(FLIGHT,))))
        closing = asyncio.create_task(spool.__aexit__())
        assert not (await asyncio.wait([closing], timeout=0.1))[0]
    await closing
    appended, journalled = await waiting
    assert [answer.number for answer in (await first, *appended)] == [1, 2, 3]
    assert journalled.flights[0].id == 1
    assert not log_of(path).exists()
    assert look(path, "SELECT count(*) FROM deliveries") == [(3,)]


async def test_a_spool_that_cannot_be_opened_lets_go(path: Path, metrics: Metrics) -> None:
    """When the file cannot be used the lock is given back, and a later try goes on where nothing is wrong."""
    path.write_bytes(b"not a database" * 100)  # noqa: ASYNC240 - nobody else waits
    with pytest.raises(Unavailable, match=r"the spool .*spool.db is damaged .* restore a copy"):
        await spool_at(path, metrics).__aenter__()
    path.unlink()  # noqa: ASYNC240 - likewise
    async with spool_at(path, metrics) as spool:
        assert await append_all(spool, ["1"])


async def test_old_ones_leave_and_the_horizon_is_read(
    path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From time to time what is past its retention is swept, and the age of the oldest id is read anew."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    monkeypatch.setattr("relay.spool.spool.SWEEP_INTERVAL", 0.0)
    with capture_logs() as lines:
        async with spool_at(path, metrics, retention=0.0) as spool:
            assert spool.horizon_since is None
            await append_all(spool, ["1", "2"])
            await until(lambda: spool.horizon_since is not None)
            await spool.write(Journal((published(1),)))
            await until(lambda: any(line["event"] == "spool.swept" for line in lines))
            since = spool.horizon_since
            used = spool.usage.used
    opened, swept = [line for line in lines if line["event"] in {"spool.opened", "spool.swept"}]
    assert opened.pop("bytes") <= used
    assert opened == {"event": "spool.opened", "log_level": "info", "path": str(path), "pending": 0}
    assert swept == {"event": "spool.swept", "log_level": "info", "deliveries": 1, "bytes": used}
    assert look(path, "SELECT number FROM deliveries") == [(2,)]
    assert look(path, "SELECT accepted_at FROM ids WHERE number = 1") == [(since,)]
    async with spool_at(path, metrics) as spool:
        await until(lambda: spool.horizon_since == since)


async def test_a_full_spool_makes_room_by_itself(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """When full, settled ones leave at once although they are young, and appends are taken again."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    async with spool_at(path, metrics, max_size=2 * MIB) as spool:
        while not spool.usage.full:
            group = [entry(f"{spool.last_number}-{n}") for n in range(100)]
            await asyncio.gather(*(spool.append(one, forget) for one in group), return_exceptions=True)
        with pytest.raises(Unavailable, match="the spool is full"):
            await spool.append(entry("more"), forget)
        await spool.write(Journal(tuple(published(number) for number in range(1, 101))))
        await until(lambda: not spool.usage.full)
        assert await append_all(spool, ["more"])
        assert spool.fault is None


async def append_large(spool: Spool, prefix: str, count: int) -> None:
    """Append a quarter of a mebibyte at a time, each after the last."""
    for number in range(count):
        await spool.append(entry(f"{prefix}-{number}", body=bytes(MIB // 4)), forget)


async def test_the_log_stays_bounded(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load without a pause, the log is folded into the database before it grows much beyond its bound."""
    monkeypatch.setattr("relay.spool.keeper.LOG_FRAMES_MAX", LOG_MAX // PAGE_SIZE)
    async with spool_at(path, metrics) as spool:
        await asyncio.gather(*(append_large(spool, prefix, 50) for prefix in "abcd"))
        assert log_of(path).stat().st_size < LOG_MAX + 3 * MIB
        assert spool.pending == 200


async def test_a_reader_holds_up_nobody(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads the log cannot be folded: commits go on, and it is folded once he has left."""
    monkeypatch.setattr("relay.spool.keeper.LOG_FRAMES_MAX", LOG_MAX // PAGE_SIZE)
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["first"])
        with closing(connect_reader(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM deliveries").fetchall()
            with capture_logs() as lines:
                await append_large(spool, "held", 70)
            assert lines == []
            held = log_of(path).stat().st_size
            assert held > LOG_MAX + 8 * MIB
        await append_large(spool, "free", 100)
        assert log_of(path).stat().st_size < held + 6 * MIB
        assert (spool.pending, spool.fault) == (171, None)


async def test_a_fault_of_one_hand_over_keeps_nobody_from_an_answer(path: Path, metrics: Metrics) -> None:
    """When a delivery on disk cannot be handed on, it and the others of its commit are answered all the same."""
    handed_on: list[int] = []

    def fail(_: Appended) -> None:
        raise RuntimeError("a mistake")

    async with spool_at(path, metrics) as spool:
        with capture_logs() as told:
            first, second = await asyncio.gather(
                spool.append(entry("a"), fail), spool.append(entry("b"), lambda one: handed_on.append(one.number))
            )
        assert (first.number, second.number, handed_on, spool.pending) == (1, 2, [2], 2)
        assert told == [
            {"event": "delivery.stranded", "log_level": "error", "delivery": first.number, "exc_info": True}
        ]


async def test_a_commit_after_a_failed_one_opens_the_file_anew_first(path: Path, metrics: Metrics) -> None:
    """What a failed commit may have left is taken back before the next one, however soon that comes."""
    async with spool_at(path, metrics) as spool:
        assert (await spool.append(entry("a"), forget)).number == 1
        alter(path, "CREATE TRIGGER refuse BEFORE INSERT ON ids BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(Unavailable):
            await spool.append(entry("b"), forget)
        alter(path, "DROP TRIGGER refuse")
        alter(path, "INSERT INTO ids VALUES (2, x'00', x'00', 0)")  # as if it had been written after all
        assert (await spool.append(entry("c"), forget)).number == 2
    assert look(path, "SELECT number, event_id FROM deliveries") == [(1, "a"), (2, "c")]


async def test_a_note_goes_to_disk_by_itself(path: Path, metrics: Metrics) -> None:
    """What a sender was told rides in the next commit, or in one of its own when none comes."""
    async with spool_at(path, metrics) as spool:
        [appended] = await append_all(spool, ["1"])
        spool.note(Told("stored", 7.5, appended.number))
        await until(lambda: look(path, "SELECT answered, answered_at FROM deliveries") == [("stored", 7.5)])
        spool.note(Told("stored", 8.5, 2))
        await append_all(spool, ["2"])


async def test_what_senders_were_told_is_on_disk_when_it_closes(path: Path, metrics: Metrics) -> None:
    """A note waits for the next commit; a stop is one."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1"])
        spool.note(Told("stored", 12.5, 1))
    assert look(path, "SELECT answered, answered_at FROM deliveries") == [("stored", 12.5)]


async def test_what_is_young_does_not_leave(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """From time to time the sweep is asked for what was settled before the retention, and for nothing else."""
    asked: list[float] = []
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    monkeypatch.setattr("relay.spool.spool.SWEEP_INTERVAL", 0.0)

    def sweep(_: Store, older_than: float) -> int:
        asked.append(older_than)
        return 0

    monkeypatch.setattr(Store, "sweep", sweep)
    began = time.time()
    async with spool_at(path, metrics, retention=5000.0):
        await until(lambda: len(asked) > 1)
    assert began - 5000.0 <= asked[0] <= asked[1] <= time.time() - 5000.0
