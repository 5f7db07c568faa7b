"""Store: what one commit does, all of it or nothing."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from msgspec.structs import replace

from relay.core.errors import Reason, Unavailable
from relay.core.model import Status
from relay.spool import Appended, Journal, Told, Verdict
from relay.spool.memory import WARM
from tests.spool.samples import (
    FLIGHT,
    MIB,
    NOW,
    alter,
    append,
    disk_refuses,
    dump,
    entry,
    look,
    opened,
    published,
    refused,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relay.spool import Settlement
    from relay.spool.store import Store

    Settle = Callable[[int, str, tuple[str, ...]], Settlement]

BOTH = ("a", "b")
PUBLISHED = (1, Status.PUBLISHED, None)
REFUSED = (1, Status.DEAD, Reason.REFUSED)


def remembered(store: Store) -> tuple[object, ...]:
    """Give all that a store knows without asking the file."""
    return store.usage, store.pending, store.last_number, store.last_flight, store.memory.horizon


def test_a_delivery_is_published_with_its_last_record(path: Path) -> None:
    """Records are settled one by one; the delivery comes to its end with the last of them, once."""
    with opened(path) as store:
        append(store, entry("1"))
        assert settle(store, published(1, "a", BOTH)) == []
        assert store.pending == 1
        assert settle(store, published(1, "a", BOTH)) == []
    with opened(path) as store:
        assert settle(store, published(1, "b", BOTH)) == [PUBLISHED]
        assert store.pending == 0
    assert dump(path)["records"] == [(1, "a", 0, 101, None, None, None), (1, "b", 0, 101, None, None, None)]
    assert look(path, "SELECT status, reason, settled_at FROM deliveries") == [("published", None, NOW)]


@pytest.mark.parametrize("first", [published, refused])
def test_a_delivery_is_dead_when_one_record_is(path: Path, first: Settle) -> None:
    """Whichever record is refused, the delivery is dead with its reason, and the other one stays where it is."""
    second = refused if first is published else published
    with opened(path) as store:
        append(store, entry("1"))
        assert settle(store, first(1, "a", BOTH)) == []
        assert settle(store, second(1, "b", BOTH)) == [REFUSED]
    assert look(path, "SELECT status, reason, detail FROM deliveries") == [("dead", "refused", "the broker refused it")]
    assert len(look(path, "SELECT 1 FROM records WHERE reason IS NULL")) == 1


@pytest.mark.parametrize("settlement", [published, refused])
def test_an_end_is_told_once(path: Path, settlement: Callable[[int], Settlement]) -> None:
    """Settling again, in the same commit or a later one, changes nothing and is not counted again."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
        assert len(settle(store, settlement(1), settlement(1))) == 1
        before = dump(path)
        assert settle(store, settlement(1)) == []
        assert (store.pending, dump(path)) == (1, before)


def test_several_deliveries_end_in_one_commit(path: Path) -> None:
    """Each journal of a commit is answered with its own ends."""
    with opened(path) as store:
        append(store, *map(entry, "1234"))
        journals = [Journal((published(1), published(3))), Journal((refused(2),)), Journal()]
        _, answers = store.commit((), journals, NOW)
        assert [[done.number for done in answer.done] for answer in answers] == [[1, 3], [2], []]
        assert store.pending == 1


def test_a_verdict_ends_what_has_no_record_left(path: Path) -> None:
    """Today's rules may bury or drop a pending delivery; one that has its end already keeps it."""
    verdicts = (
        Verdict(1, Status.DEAD, Reason.UNROUTABLE, "no rule matches"),
        Verdict(2, Status.DROPPED, None, "noise"),
        Verdict(3, Status.DROPPED, None, "noise"),
    )
    with opened(path) as store:
        append(store, *map(entry, "123"))
        settle(store, published(3))
        _, [journalled] = store.commit((), [Journal(verdicts=verdicts)], NOW)
        ends = [(done.number, done.status, done.reason) for done in journalled.done]
        assert ends == [(1, Status.DEAD, Reason.UNROUTABLE), (2, Status.DROPPED, None)]
        assert store.pending == 0
    assert look(path, "SELECT status, detail FROM deliveries") == [
        ("dead", "no rule matches"),
        ("dropped", "noise"),
        ("published", None),
    ]


@pytest.mark.parametrize(("settlement", "end"), [(published, PUBLISHED), (refused, REFUSED)])
def test_what_is_settled_speaks_before_the_rules(path: Path, settlement: Settle, end: object) -> None:
    """A verdict on a delivery with settled records gives way to them: published, or dead if one of them is."""
    with opened(path) as store:
        append(store, entry("1"))
        settle(store, settlement(1, "a", BOTH))
        _, [journalled] = store.commit((), [Journal(verdicts=(Verdict(1, Status.DROPPED, None, "noise"),))], NOW)
        assert [(done.number, done.status, done.reason) for done in journalled.done] == [end]
    assert look(path, "SELECT detail FROM deliveries") == [(settlement(1, "a", BOTH).detail,)]


def test_flights_are_kept_until_they_land(path: Path) -> None:
    """A flight is on disk with an id of its own from the commit that journals it to the one that lands it."""
    other = replace(FLIGHT, topic="b", items=())
    with opened(path) as store:
        _, [one, two] = store.commit((), [Journal(flights=(FLIGHT, other)), Journal(flights=(FLIGHT,))], NOW)
        assert one.flights == (replace(FLIGHT, id=1), replace(other, id=2))
        assert two.flights == (replace(FLIGHT, id=3),)
    with opened(path) as store:
        assert store.last_flight == 3
        _, [journalled] = store.commit((), [Journal(landed=(1, 3), flights=(other,))], NOW)
        assert journalled.flights == (replace(other, id=4),)
    assert look(path, "SELECT id FROM flights") == [(2,), (4,)]


FAULTS = {
    "a trigger that raises": (
        Journal((published(1),), landed=(1,), flights=(FLIGHT, replace(FLIGHT, topic="forbidden"))),
        Unavailable,
    ),
    "a file that is full": (
        Journal((published(1),), landed=(1,), flights=(FLIGHT, replace(FLIGHT, items=((1, bytes(4 * MIB)),)))),
        Unavailable,
    ),
    "a number SQLite does not have": (
        Journal((published(1),), landed=(1,), flights=(FLIGHT, replace(FLIGHT, producer_id=1 << 63))),
        OverflowError,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_that_raises_changes_nothing(path: Path, fault: str) -> None:
    """Neither the file nor memory is changed by a commit that fails; the next one goes as if it never was."""
    journal, error = FAULTS[fault]
    with opened(path, max_size=2 * MIB) as store:
        append(store, entry("1"))
        store.commit((), [Journal(flights=(FLIGHT,))], NOW)
        alter(
            path,
            "CREATE TRIGGER fault BEFORE INSERT ON flights WHEN new.topic = 'forbidden' "
            "BEGIN SELECT raise(ABORT, 'forbidden'); END",
        )
        before = dump(path), remembered(store)
        with pytest.raises(error):
            store.commit([entry("2"), entry("3", status=Status.DEAD)], [Journal((published(1),)), journal], NOW)
        assert (dump(path), remembered(store)) == before
        good = dataclasses.replace(journal, flights=(FLIGHT,))
        [answer], [journalled] = store.commit([entry("2")], [good], NOW)
        assert answer == Appended(2, Status.PENDING, None, None)
        assert ([flight.id for flight in journalled.flights], [done.number for done in journalled.done]) == ([2], [1])


def test_a_commit_that_cannot_begin_changes_nothing(path: Path) -> None:
    """Also when the file is gone from under the store, what fails is `Unavailable` and is not remembered."""
    with opened(path) as store:
        append(store, entry("1"))
        before = remembered(store)
        store.close()
        with pytest.raises(Unavailable, match="was deleted or replaced"):
            store.commit([entry("2")], (), NOW)
        assert remembered(store) == before


def test_take_back_removes_ghosts(path: Path) -> None:
    """What a failed commit left on disk after all goes: its deliveries, ids and flights, and nothing before them."""
    with opened(path) as store:
        append(store, entry("1"))
        store.commit((), [Journal(flights=(FLIGHT,))], NOW)
    before = dump(path)
    with opened(path) as store:
        ghosts = [replace(entry("2"), topics=("a",)), entry("3")]
        store.commit(ghosts, [Journal(flights=(FLIGHT, FLIGHT))], NOW)
        store.take_back(1, 1)
    assert dump(path) == before
    with opened(path) as store:
        assert [a.number for a in append(store, entry("3"), entry("2"))] == [2, 3]


def test_take_back_knows_a_file_that_lost_something(path: Path) -> None:
    """A file that lacks what was accepted is not gone on with, or its numbers would be given twice."""
    with opened(path) as store:
        append(store, entry("1"))
        with pytest.raises(Unavailable, match="delivery 2 was accepted, the file ends at 1"):
            store.take_back(2, 0)


def test_take_back_proves_that_the_disk_takes_writes(path: Path) -> None:
    """Even with nothing to take back something is written, so a disk that refuses is noticed."""
    with opened(path) as store:
        append(store, entry("1", body=bytes(MIB)))  # the log is longer than what tests print
        with disk_refuses(path), pytest.raises(Unavailable, match="the spool could not be written: disk I/O error"):
            store.take_back(1, 0)
        store.take_back(1, 0)


def test_the_horizon_has_an_age(path: Path) -> None:
    """`since` is when the oldest id remembered was accepted, whether or not its body is there."""
    with opened(path, remembered=2) as store:
        assert store.since() is None
        for number in range(3):
            store.commit([entry(str(number), status=Status.DROPPED)], (), NOW + number)
        store.sweep(NOW + 10)
        assert store.since() == NOW + 1
    with opened(path, remembered=1) as store:
        assert store.since() == NOW + 2
        store.close()
        with pytest.raises(Unavailable):
            store.since()


def test_what_a_sender_was_told_is_kept(path: Path) -> None:
    """The answer stands with the settlement, the flight with the record; what was dead on arrival was told so."""
    told = replace(published(1), flight=7, answered="stored", answered_at=NOW + 2)
    with opened(path) as store:
        append(store, entry("1"), entry("2", status=Status.DEAD), entry("3"))
        settle(store, told)
    assert look(path, "SELECT number, answered, answered_at FROM deliveries") == [
        (1, "stored", NOW + 2),
        (2, "dead", NOW),
        (3, None, None),
    ]
    assert look(path, "SELECT number, flight FROM records") == [(1, 7)]


def test_repeats_are_counted(path: Path) -> None:
    """Each repeat counts at the first one, in one commit with it or later, and the last time is kept."""
    with opened(path) as store:
        append(store, entry("1"), entry("1"), entry("2"))
        store.commit([entry("1")], (), NOW + 5)
    assert look(path, "SELECT number, repeats, repeated_at FROM deliveries") == [(1, 2, NOW + 5), (2, 0, None)]


def test_what_is_warm_is_said_honestly(path: Path) -> None:
    """What was appended lately is in memory; what may repeat, is old, or is a verdict may have to be read."""
    with opened(path, remembered=2 * WARM) as store:
        append(store, *(entry(str(number)) for number in range(WARM + 1)))
        assert store.is_warm([entry("new")], [Journal((published(2),))])
        assert not store.is_warm([entry("5")], ())
        assert not store.is_warm((), [Journal((published(1),))])
        assert not store.is_warm((), [Journal(verdicts=(Verdict(WARM, Status.DROPPED),))])


def test_a_transaction_begins_without_waiting(path: Path) -> None:
    """While another process writes, a transaction does not begin here, and nobody waits for it."""
    with opened(path) as store, closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not store.begin()
        other.execute("ROLLBACK")
        assert store.begin()
        store.commit([entry("1")], (), NOW)
    assert look(path, "SELECT number FROM deliveries") == [(1,)]


def test_what_was_told_is_noted_before_the_end_and_outlives_it(path: Path) -> None:
    """A note stands at once; a settlement of a later process, which knows of no answer, leaves it; the first counts."""
    with opened(path) as store:
        append(store, entry("1"))
        store.commit((), [Journal(answers=(Told("stored", NOW + 1, 1), Told("published", NOW + 2, 1)))], NOW)
    assert look(path, "SELECT status, answered, answered_at FROM deliveries") == [("pending", "stored", NOW + 1)]
    with opened(path) as store:
        settle(store, published(1))
    assert look(path, "SELECT status, answered, answered_at FROM deliveries") == [("published", "stored", NOW + 1)]
