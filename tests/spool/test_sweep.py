"""The sweep: what leaves the spool, when, and what never does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Unavailable
from relay.core.model import Status
from relay.spool import Journal
from relay.spool.store import Store
from tests.spool.samples import (
    MIB,
    NOW,
    alter,
    append,
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
    from pathlib import Path

    from relay.metrics import Metrics

HOUR = 3600.0


def test_the_sweep_takes_what_is_old(path: Path) -> None:
    """By age go published and dropped ones with their records; pending and dead ones, and all ids, stay."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"), entry("3", status=Status.DEAD), entry("4", status=Status.DROPPED))
        store.commit([entry("5")], [Journal((published(1),))], NOW + 5)
        store.commit((), [Journal((published(5),))], NOW + 10)
        assert [store.sweep(NOW + 5), store.sweep(NOW + 5)] == [1, 0]
        assert look(path, "SELECT number FROM deliveries") == [(1,), (2,), (3,), (5,)]
        assert [store.sweep(NOW + 10), store.sweep(NOW + 10)] == [1, 0]
    assert look(path, "SELECT number, status FROM deliveries") == [(2, "pending"), (3, "dead"), (5, "published")]
    assert look(path, "SELECT number FROM records") == [(5,)]
    assert look(path, "SELECT count(*) FROM ids") == [(5,)]


def test_the_sweep_goes_in_small_pieces(path: Path) -> None:
    """One call holds up the writer for 500 rows at most, and the next goes on where it stopped."""
    with opened(path) as store:
        append(store, *(entry(str(number), status=Status.DROPPED) for number in range(1200)))
        assert [store.sweep(NOW + 1) for _ in range(4)] == [500, 500, 200, 0]


def test_what_was_held_for_long_hides_nothing_older(path: Path) -> None:
    """Deliveries of a topic that was held are settled late, and those behind them leave when they are due."""
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(600)))
        append(store, *(entry(f"old-{number}", status=Status.DROPPED) for number in range(300)))
        store.commit((), [Journal(tuple(published(number) for number in range(1, 601)))], NOW + 10)
        assert [store.sweep(NOW + 5), store.sweep(NOW + 5)] == [300, 0]
        assert [store.sweep(NOW + 11) for _ in range(3)] == [500, 100, 0]


def test_a_sweep_by_age_looks_at_so_much_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one goes on behind it, and in the end begins with the oldest again."""
    monkeypatch.setattr("relay.spool.sweep.AHEAD", 10)
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(15)))
        append(store, *(entry(f"old-{number}", status=Status.DROPPED) for number in range(10)))
        store.commit((), [Journal(tuple(published(number) for number in range(1, 16)))], NOW + 10)
        assert [store.sweep(NOW + 5) for _ in range(4)] == [0, 5, 5, 0]
        assert [store.sweep(NOW + 11) for _ in range(3)] == [5, 10, 0]


def test_short_of_space_bodies_go_first(path: Path) -> None:
    """When space is short the oldest settled bodies go although they are young, only as long as it is; rows stay."""
    with opened(path, max_size=2 * MIB, remembered=10_000) as store:
        append(store, entry("pending", body=bytes(1000)))
        number = 0
        while not store.usage.short:
            append(store, entry(str(number), body=bytes(1000), status=Status.DROPPED))
            number += 1
        assert store.sweep(0) == 500
        assert store.sweep(0) == 0
        assert not store.usage.short
        assert append(store, entry("3", body=bytes(1000)))[0].duplicate, "what has lost its body is known"
    bodies = "SELECT count(*), min(number) FROM bodies JOIN deliveries USING (number) WHERE status = 'dropped'"
    assert look(path, bodies) == [(number - 500, 502)]
    assert look(path, "SELECT count(*) FROM deliveries WHERE status = 'dropped'") == [(number,)]
    assert look(path, "SELECT count(*) FROM deliveries JOIN bodies USING (number) WHERE status = 'pending'") == [(1,)]


def test_short_of_space_rows_go_when_no_body_is_left(path: Path) -> None:
    """What is left of settled deliveries leaves once there is nothing larger, the oldest first; repeats stay known."""
    with opened(path, max_size=MIB, remembered=100_000) as store:
        append(store, entry("pending"), entry("dead", status=Status.DEAD))
        number = 0
        while look(path, "SELECT count(*) FROM deliveries WHERE status = 'dropped'") == [(number,)]:
            append(store, *(entry(f"{number + place}", body=b"{}", status=Status.DROPPED) for place in range(50)))
            number += 50
            while store.usage.short and store.sweep(0):
                pass
        [(count, first)] = look(path, "SELECT count(*), min(number) FROM deliveries WHERE number > 2")
        assert first != 3
        assert look(path, "SELECT max(number) - min(number) + 1 FROM deliveries WHERE number > 2") == [(count,)]
        assert look(path, "SELECT number FROM bodies WHERE number <= 2") == [(1,), (2,)]
        assert append(store, entry("0"))[0].duplicate


def test_nothing_small_fills_the_spool_for_good(path: Path) -> None:
    """Ids make room as well when nothing else is left: however small deliveries are, new ones are taken."""
    with opened(path, max_size=MIB, remembered=1_000_000) as store:
        for number in range(200):
            append(store, *(entry(f"{number}-{place}", body=b"{}", status=Status.DROPPED) for place in range(100)))
            while store.usage.short and store.sweep(0):
                pass
        assert append(store, entry("next"))[0].number == 20001
        assert append(store, entry("next"))[0].duplicate
    assert look(path, "SELECT count(*) < 20000 AND max(number) = 20001 FROM ids") == [(1,)]


def test_a_sweep_that_fails_is_told(path: Path) -> None:
    """A disk that refuses the sweep is `Unavailable`, and nothing has left."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DROPPED))
        alter(path, "CREATE TRIGGER fault BEFORE DELETE ON deliveries BEGIN SELECT raise(ABORT, 'forbidden'); END")
        with pytest.raises(Unavailable, match=r"the spool could not be swept: .*forbidden"):
            store.sweep(NOW + 1)
        assert look(path, "SELECT number FROM deliveries") == [(1,)]


def test_what_a_failed_sweep_left_goes_with_the_next(path: Path) -> None:
    """A sweep that the disk refused has taken nothing, so the next one begins where it began."""
    with opened(path) as store:
        append(store, entry("1", body=bytes(MIB), status=Status.DROPPED))  # the log is longer than what tests print
        with disk_refuses(path), pytest.raises(Unavailable):
            store.sweep(NOW + 1)
        assert store.sweep(NOW + 1) == 1


@pytest.mark.parametrize(
    ("settled", "swept", "leave"),
    [
        (0.0, 0.0, False),
        (0.0, HOUR - 60, False),
        (0.0, HOUR + 60, True),
        (0.0, -HOUR, False),
        (HOUR, 0.0, False),
        (HOUR, HOUR + 60, False),
        (-HOUR - 60, 0.0, True),
    ],
)
async def test_retention_is_by_the_clock(
    path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, *, settled: float, swept: float, leave: bool
) -> None:
    """By a clock so many seconds off as it settles and as it sweeps: pending and dead stay, others go by their age."""
    now, swept_with, sweep = time.time, list[int](), Store.sweep

    def note(store: Store, older_than: float) -> int:
        swept_with.append(sweep(store, older_than))
        return swept_with[-1]

    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    monkeypatch.setattr(time, "time", lambda: now() + settled)
    async with spool_at(path, metrics, retention=HOUR) as spool:
        for number, status in enumerate((Status.PENDING, Status.PENDING, Status.DEAD, Status.DROPPED), 1):
            await spool.append(entry(f"{number}", status=status), forget)
        await spool.write(Journal((published(2),)))
        monkeypatch.setattr(time, "time", lambda: now() + swept)
        monkeypatch.setattr(Store, "sweep", note)
        monkeypatch.setattr("relay.spool.spool.SWEEP_INTERVAL", 0.0)
        await until(lambda: swept_with.count(0) > 1)  # each sweep goes on until nothing more leaves
    assert sum(swept_with) == 2 * leave
    stay = [(1, "pending"), (3, "dead")]
    stay += [] if leave else [(2, "published"), (4, "dropped")]
    assert look(path, "SELECT number, status FROM deliveries") == sorted(stay)
    bodies = [(number,) for number, _ in sorted(stay)]
    assert look(path, "SELECT number FROM bodies") == bodies
