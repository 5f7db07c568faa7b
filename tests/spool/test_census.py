"""The census: every row of the spool, a page at a time, and the totals beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.errors import Reason, Unavailable
from relay.core.model import Placed, Status
from relay.spool import Census, Journal, census
from relay.spool.census import Row, Tally
from relay.spool.identity import digest_of
from relay.spool.totals import mark_start
from tests.spool.samples import FLIGHT, alter, append, entry, opened, published, refused, settle, totals_of

if TYPE_CHECKING:
    from pathlib import Path


def test_every_delivery_is_given_with_its_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come in order of acceptance, up to the number asked for, with the records that are in Kafka and no other."""
    monkeypatch.setattr(census, "PAGE", 2)
    topics = ("a", "b")
    with opened(path) as store:
        append(store, *(entry(id_) for id_ in "12345"), entry("6", status=Status.DEAD))
        settle(store, published(1, "b", topics), replace(published(1, "a", topics), offset=None))
        settle(store, published(3), refused(4, "b", topics), published(4, "a", topics))
        with Census(path) as counted:
            pages = list(counted.deliveries(5))
            assert [[row.number for row in page] for page in pages] == [[1, 2], [3, 4], [5]]
            rows = [row for page in pages for row in page]
            assert [set(row.places) for row in rows] == [
                {Placed("a", 0, None), Placed("b", 0, 101)}, set(), {Placed("a", 0, 103)}, {Placed("a", 0, 104)}, set(),
            ]  # fmt: skip
            assert rows[1] == Row(2, "contoso", "2", Status.PENDING, None, ())
            assert rows[3][:5] == (4, "contoso", "4", Status.DEAD, Reason.REFUSED)
            assert [row.number for page in counted.deliveries(99) for row in page] == [1, 2, 3, 4, 5, 6]
            assert list(counted.deliveries(0)) == []


def test_every_id_remembered_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests come in order of acceptance, page by page."""
    monkeypatch.setattr(census, "ID_PAGE", 2)
    with opened(path) as store:
        append(store, *(entry(id_) for id_ in "123"))
    with Census(path) as counted:
        assert [len(page) for page in counted.digests()] == [2, 1]
        assert [one for page in counted.digests() for one in page] == [digest_of("contoso", id_) for id_ in "123"]


def test_the_topics_of_flights_are_given_once(path: Path) -> None:
    """What is under way is known by its topic, however many flights it has."""
    with opened(path) as store:
        append(store, *(entry(id_) for id_ in "123"))
        flights = [replace(FLIGHT, topic=topic, items=((n, b"k"),)) for n, topic in enumerate("aba", 1)]
        store.commit((), [Journal(flights=tuple(flights))], 1.0)
    with Census(path) as counted:
        assert counted.topics() == {"a", "b"}


def test_the_totals_are_those_of_now_and_of_the_start(path: Path) -> None:
    """They stand beside the last number given, and whether ids were forgotten already."""
    with opened(path) as store:
        append(store, entry("1"))
        with Census(path) as counted:
            assert counted.tally() == Tally(totals_of(path), None, 1, ids_forgotten=False)
        mark_start(store.connection)
        append(store, entry("2"))
    alter(path, "DELETE FROM ids WHERE number = 1")
    with Census(path) as counted:
        tally = counted.tally()
    assert tally == Tally(totals_of(path), totals_of(path, started=True), 2, ids_forgotten=True)
    assert tally.started is not None
    assert (tally.started.accepted, tally.now.accepted) == (1, 2)


def test_of_an_empty_spool_there_is_nothing(path: Path) -> None:
    """No number was given, and nothing is forgotten."""
    with opened(path):
        pass
    with Census(path) as counted:
        assert counted.tally()[2:] == (0, False)
        assert (list(counted.deliveries(9)), list(counted.digests()), counted.topics()) == ([], [], set())


def test_without_a_spool_there_is_no_census(path: Path) -> None:
    """A file that is not there is told, and not made."""
    with pytest.raises(Unavailable, match="cannot be read"):
        Census(path)
    assert not path.exists()
