"""Reconciliation: what is missing, doubled or unknown in Kafka, and what cannot be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Reason
from relay.core.model import Placed, Status
from relay.spool import Found, Reconciliation
from relay.spool.census import Row
from relay.spool.identity import digest_of
from relay.spool.reconciliation import Discrepancy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HORIZON = 50.0
COPIES_HORIZON = 70.0


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Reconciliation]:
    """Give one that has taken in nothing."""
    books = Reconciliation(tmp_path / "scratch")
    yield books
    books.close()


def row(number: int, *places: Placed, reason: Reason | None = None, id: str | None = None) -> Row:  # noqa: A002 - as in CloudEvents
    """Give a delivery of the spool, with where its records are."""
    return Row(number, "contoso", id or f"id-{number}", Status.PUBLISHED, reason, places)


def found(
    offset: int,
    id: str,  # noqa: A002 - as in CloudEvents
    *,
    partition: int = 0,
    sent_at: float = 100.0,
    copied: int | None = None,
    ours: bool = True,
) -> Found:
    """Give a record of topic a as it was read."""
    claims = [("contoso", id)] if ours else []
    return Found("a", partition, offset, sent_at, id, id.encode(), claims, copied)


def counts(books: Reconciliation, **other: int) -> bool:
    """Tell whether all counts are 0, but those that are named."""
    names = ("expected", "read", "of_others", "replayed", "not_retained", "before_horizon")
    return books.counts() == dict.fromkeys(names, 0) | other


def differences(books: Reconciliation) -> list[list[Discrepancy]]:
    """Sort, and give what is missing, doubled and unknown."""
    books.sort(HORIZON, COPIES_HORIZON)
    return [list(books.missing()), list(books.doubled()), list(books.unknown())]


def test_what_is_there_as_it_should_be_is_no_difference(books: Reconciliation) -> None:
    """Each record at its place, also one whose place is not known, and what is somebody else's."""
    books.expect([row(1, Placed("a", 0, 0)), row(2, Placed("a", 0, None)), row(3)])
    books.find([found(0, "id-1"), found(1, "id-2"), found(2, "x", ours=False)])
    assert differences(books) == [[], [], []]
    assert counts(books, expected=2, read=3, of_others=1)


def test_what_is_not_where_it_should_be_is_missing(books: Reconciliation) -> None:
    """Another id at its offset, or its id elsewhere, is no record of it; the order is that of acceptance."""
    books.expect([
        row(5, Placed("a", 0, 4), id="first"),
        row(1, Placed("b", 0, 0), Placed("a", 0, 0)),
        row(2, Placed("a", 1, 1)),
        row(3, Placed("a", 0, None)),
        row(4, Placed("a", 0, 3)),
    ])  # fmt: skip
    books.find([found(0, "id-0"), found(1, "id-2"), found(1, "id-3", partition=1), found(9, "id-4")])
    books.sort(HORIZON, COPIES_HORIZON)
    assert list(books.missing()) == [
        Discrepancy("a", "0/0", "id-1", 1),
        Discrepancy("b", "0/0", "id-1", 1),
        Discrepancy("a", "1/1", "id-2", 2),
        Discrepancy("a", "0/?", "id-3", 3),
        Discrepancy("a", "0/3", "id-4", 4),
        Discrepancy("a", "0/4", "first", 5),
    ]


def test_what_is_retained_no_more_is_not_missing(books: Reconciliation) -> None:
    """Below a partition's first offset, in a compacted topic, or of no known offset in what is truncated."""
    books.expect([
        row(1, Placed("a", 0, 9)),
        row(2, Placed("a", 0, 10)),
        row(3, Placed("a", 0, None)),
        row(4, Placed("a", 1, 0)),
        row(5, Placed("c", 0, 7)),
    ])  # fmt: skip
    books.bound({("a", 0): 10, ("a", 1): 0, ("c", 0): 0}, ["c"])
    assert [one.number for one in differences(books)[0]] == [2, 4]
    assert counts(books, expected=5, not_retained=3)


def test_what_is_there_more_often_than_accepted_is_doubled(books: Reconciliation) -> None:
    """All its places are told; a replay is none of them, and an id that was accepted again may be there again."""
    books.expect([row(1), row(2), row(3), row(7, id="id-3"), row(4), row(8, id="id-4", reason=Reason.ID_CONFLICT)])
    books.find([found(2, "id-1"), found(0, "id-1", partition=1), found(1, "id-1")])
    books.recognise([row(9, Placed("a", 0, 4), id="id-2")._replace(copy=2)])
    books.find([found(3, "id-2"), found(4, "id-2", copied=2), found(5, "id-3"), found(6, "id-3")])
    books.find([found(7, "id-4"), found(8, "id-4")])
    assert differences(books) == [
        [],
        [Discrepancy("a", "0/1, 0/2, 1/0", "id-1", None), Discrepancy("a", "0/7, 0/8", "id-4", None)],
        [],
    ]
    assert counts(books, read=9, replayed=1)


def test_an_id_that_is_remembered_twice_may_be_there_twice(books: Reconciliation) -> None:
    """Also when its rows are swept: the ids remembered count as the rows do, and not beside them."""
    books.remember([digest_of("contoso", "id-1")] * 2 + [digest_of("contoso", "id-2")])
    books.expect([row(2)])
    books.find([found(0, "id-1"), found(1, "id-1"), found(2, "id-2"), found(3, "id-2")])
    assert differences(books) == [[], [Discrepancy("a", "0/2, 0/3", "id-2", None)], []]


def test_what_was_never_accepted_is_unknown(books: Reconciliation) -> None:
    """It is told at its place, in their order; known is what the spool holds, or only remembers, under any claim."""
    books.remember([digest_of("contoso", "old")])
    books.expect([row(1)])
    strange = found(7, "x")._replace(claims=[("fabrikam", "id-1"), ("contoso", "y")])
    named = found(8, "z")._replace(claims=[("fabrikam", "z"), ("contoso", "id-1")])
    books.find([strange, found(2, "forged", partition=1), found(3, "forged"), found(0, "old"), found(1, "id-1"), named])
    books.find([found(9, "foreign", ours=False)])
    assert differences(books)[2] == [
        Discrepancy("a", "0/3", "forged", None),
        Discrepancy("a", "0/7", "x", None),
        Discrepancy("a", "1/2", "forged", None),
    ]


def test_what_was_sent_before_the_horizon_is_not_judged(books: Reconciliation) -> None:
    """It may be of a delivery that the spool does not remember any more: neither unknown nor doubled, and counted."""
    books.find([found(0, "x", sent_at=HORIZON), found(1, "x", sent_at=HORIZON), found(2, "y", sent_at=HORIZON + 0.1)])
    books.find([found(3, "z", sent_at=0.0, ours=False)])
    assert differences(books) == [[], [], [Discrepancy("a", "0/2", "y", None)]]
    assert counts(books, read=4, of_others=1, before_horizon=2)


def test_what_was_copied_before_the_horizon_of_copies_is_not_judged(books: Reconciliation) -> None:
    """Nothing but its row, which may be swept, tells that it was ordered, and how often."""
    books.expect([row(1)])
    books.find(found(place, "id-1", sent_at=COPIES_HORIZON, copied=1) for place in (0, 1))
    books.find([found(2, "id-1", sent_at=COPIES_HORIZON + 0.1, copied=1)])
    assert differences(books) == [[], [], [Discrepancy("a", "0/2", "id-1", None)]]
