"""The salvage of a file that is whole: nothing is lost, however many rows it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.model import Mirror, Replay, Status
from relay.spool import Browser, Journal
from relay.spool.file import connect_reader
from relay.spool.salvage import salvage
from tests.spool.pages import pages_of, ruin
from tests.spool.samples import FLIGHT, NOW, alter, append, dump, entry, look, opened, published, settle, totals_of

if TYPE_CHECKING:
    from pathlib import Path

# A value is missing that must not.
NONE = (
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'repeats INTEGER NOT NULL', "
    "'repeats INTEGER') WHERE name = 'deliveries'; PRAGMA writable_schema = RESET; "
    "UPDATE deliveries SET repeats = NULL WHERE number = 2"
)


def test_more_rows_than_one_transaction_takes_are_all_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of every table is in the new file, and the old one stands beside it by the time of day."""
    monkeypatch.setattr("relay.spool.salvage.TOGETHER", 7)
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(30)))
        settle(store, *(published(number) for number in range(1, 21)))
        store.commit((), [Journal(flights=(FLIGHT,) * 9)], NOW)
    whole = dump(path)
    salvaged = salvage(path, connect_reader(path), 30)
    assert (salvaged.kept, salvaged.lost, salvaged.damaged) == (30, 0, ())
    kept = dump(path)
    assert {table: rows for table, rows in kept.items() if table != "totals"} == {
        table: rows for table, rows in whole.items() if table != "totals"
    }
    assert salvaged.aside is not None
    assert re.fullmatch(r"spool\.db\.damaged-\d{8}T\d{6}Z", salvaged.aside.name)


@pytest.mark.parametrize("ruined", ["deliveries", "bodies"])
def test_a_dead_letter_whose_replay_is_lost_is_one_again(path: Path, ruined: str) -> None:
    """What has its body, and left the dead ones for a replay that is not there any more, can be replayed again."""
    count = 60
    with opened(path) as store:
        append(store, *(entry(str(number), status=Status.DEAD, body=b"x" * 1000) for number in range(count)))
        for number in range(count):
            append(store, replace(entry(str(number), body=b"x" * 1000), copy=Replay(number + 1, None), topics=("a",)))
        settle(store, *(published(number) for number in range(count + 1, count + 6)))
    alter(path, "DELETE FROM deliveries WHERE number = 61")  # swept, though its dead letter stands
    alter(path, "DELETE FROM bodies WHERE number = 61")
    pages = pages_of(path, ruined)
    ruin(path, pages[-1:])
    salvaged = salvage(path, connect_reader(path), 2 * count)
    assert salvaged.lost > 0
    stranded = (
        "SELECT count(*) FROM deliveries AS d WHERE withdrawn = 'replayed' AND number <> 1 "
        "AND NOT EXISTS (SELECT 1 FROM deliveries AS r WHERE r.replay_of = d.number)"
    )
    assert look(path, stranded) == [(0,)]
    ((dead,),) = look(path, "SELECT count(*) FROM deliveries WHERE status = 'dead' AND withdrawn IS NULL")
    totals = totals_of(path)
    assert (totals.dead, totals.lost) == (dead, salvaged.lost)
    assert salvaged.lost <= int(str(dead)) <= salvaged.lost + 1
    with opened(path) as store:
        assert not append(store, replace(entry("59"), copy=Replay(count, None), topics=("a",)))[0].duplicate


def test_a_dead_letter_whose_mirror_is_lost_is_mirrored_again(path: Path) -> None:
    """Not so where the mirror has come to Kafka and was swept since."""
    with opened(path) as store:
        append(store, *(entry(id_, status=Status.DEAD) for id_ in "123"))
        for number in (1, 2, 3):
            mirror = Mirror(number, "dead", "unroutable", "no rule matches")
            append(store, replace(entry(str(number)), copy=mirror, topics=("dead",)))
        settle(store, published(4, "dead", ("dead",)))
        assert store.sweep(NOW + 1) == 1
    alter(path, "DELETE FROM bodies WHERE number = 5")
    assert salvage(path, connect_reader(path), 6).lost == 1
    assert look(path, "SELECT number, mirrored FROM deliveries WHERE status = 'dead'") == [(1, 4), (2, None), (3, 6)]


def test_what_is_lost_stays_known(path: Path) -> None:
    """The totals have it for good, apart from what has left at its end, also when the file is made anew once more."""
    with opened(path) as store:
        append(store, *(entry(id_) for id_ in "1234"), entry("5", status=Status.DROPPED))
        assert store.sweep(NOW + 1) == 1
    for ruined in ("DELETE FROM bodies WHERE number = 2", "DELETE FROM bodies WHERE number = 3"):
        alter(path, ruined)
        assert salvage(path, connect_reader(path), 5).lost == 1
    totals = totals_of(path)
    assert (totals.accepted, totals.pending, totals.departed, totals.lost, totals.kept) == (5, 2, 1, 2, 2)
    with opened(path) as store:
        assert (store.pending, store.last_number) == (2, 5)
    with Browser(path) as browser:
        assert browser.lost() == 2


def test_what_is_lost_can_be_sent_again(path: Path) -> None:
    """Its id goes with it: a repeat is new, and neither a duplicate of nothing nor a conflict with it."""
    with opened(path) as store:
        append(store, *(entry(str(number), body=b"x" * 1000) for number in range(40)))
    ruin(path, pages_of(path, "bodies")[3:4])
    salvaged = salvage(path, connect_reader(path), 40)
    kept = {number for (number,) in look(path, "SELECT number FROM deliveries")}
    lost = sorted(set(range(1, 41)) - kept)
    assert salvaged.lost == len(lost) > 0
    with opened(path) as store:
        again = append(store, *(entry(str(number - 1), body=b"x" * 1000) for number in range(1, 41)))
        assert [one.number for one in again if not one.duplicate] == list(range(41, 41 + len(lost)))
        assert store.pending == 40


def test_flights_of_which_the_last_cannot_be_read_leave_all_in_doubt(path: Path) -> None:
    """Nobody knows how many there were; and who is aloft in one topic may have been so in another."""
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(30)))
        for topic in ("a", "b"):
            flights = tuple(replace(FLIGHT, topic=topic, items=((number, b"k"),)) for number in range(1, 31))
            for _ in range(8):
                store.commit((), [Journal(flights=flights)], NOW)
    ruin(path, pages_of(path, "flights")[-1:])
    salvaged = salvage(path, connect_reader(path), 30)
    assert (salvaged.lost, salvaged.doubtful) == (0, 30)
    assert salvaged.damaged == ("flights",)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE deliveries SET status = 'pendinh' WHERE number = 2",
        "UPDATE deliveries SET status = x'70656e64' WHERE number = 2",
        "UPDATE deliveries SET source = x'ff' WHERE number = 2",
        "UPDATE deliveries SET received_at = 'x' WHERE number = 2",
        NONE,
    ],
)
def test_a_row_that_can_be_read_and_is_none_of_ours_is_lost(path: Path, change: str) -> None:
    """It is counted, found new when it comes again, and the new file is whole: it is not made anew once more."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
        settle(store, published(1))
    alter(path, change)
    salvaged = salvage(path, connect_reader(path), 2)
    assert (salvaged.kept, salvaged.lost, salvaged.damaged) == (1, 1, ("deliveries",))
    with opened(path) as store:
        assert store.pending == 0
        assert not append(store, entry("2"))[0].duplicate


def test_a_number_of_whose_records_one_cannot_be_read_is_doubtful(path: Path) -> None:
    """It is sent anew to the topic whose record is lost, and that may have it."""
    with opened(path) as store:
        append(store, replace(entry("1"), topics=("a", "b", "c")))
        store.commit((), [Journal(tuple(replace(published(1), topics=("a", "b", "c"), topic=t) for t in "ab"))], NOW)
    alter(path, "UPDATE records SET partition = 'x' WHERE topic = 'b'")
    salvaged = salvage(path, connect_reader(path), 1)
    assert (salvaged.kept, salvaged.lost, salvaged.doubtful, salvaged.damaged) == (1, 0, 1, ("records",))


def test_what_is_set_aside_within_one_second_is_all_kept(path: Path) -> None:
    """The first of them is the original, in which alone what was lost can be looked for."""
    with opened(path) as store:
        append(store, entry("1"))
    asides = {salvage(path, connect_reader(path), 1).aside for _ in range(3)}
    assert len(asides) == 3
    assert all(aside and aside.exists() for aside in asides)


def test_the_horizon_is_as_old_as_what_is_known_of_it(path: Path) -> None:
    """When an id was accepted that damage took nobody knows: the oldest that is known counts."""
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(3)))
    alter(path, "DELETE FROM ids WHERE number = 2")
    salvage(path, connect_reader(path), 3)
    with opened(path, remembered=2) as store:
        assert (store.memory.horizon[1], store.since()) == (2, NOW)
