"""Reader: what the file says, in bounded pieces, beside the writer."""

from __future__ import annotations

import re
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from msgspec.structs import replace

from relay.core.errors import Reason, Unavailable
from relay.core.model import Placed, Status
from relay.spool import Fact, Journal, Stored
from relay.spool.file import DEAD, PENDING
from relay.spool.reader import PAGE, PAGE_BYTES, PAGE_ROWS, STORED, TO_MIRROR, Reader
from tests.spool.samples import FLIGHT, MIB, NOW, alter, append, dump, entry, look, opened, published, refused, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from relay.spool.store import Store

BACKLOG = 100_000


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Open the writer's side."""
    with opened(path) as store:
        yield store


@pytest.fixture
def reader(store: Store, path: Path) -> Iterator[Reader]:
    """Open the reader's side of the same file."""
    with closing(Reader(path)) as reader:
        yield reader


def test_a_page_holds_what_is_pending_in_order(store: Store, reader: Reader) -> None:
    """A page has the pending deliveries of the range asked for, as they were received, with what is settled of them."""
    entries = [entry(str(number), body=bytes([number])) for number in range(1, 7)]
    append(store, *entries[:4], entry("dead", status=Status.DEAD), *entries[4:])
    settle(store, published(2), refused(3, "b", ("a", "b")), published(3, "c", ("a", "b", "c")))
    assert reader.page(0, 6) == [
        Stored(1, entries[0].delivery, ()),
        Stored(3, entries[2].delivery, ("b", "c")),
        Stored(4, entries[3].delivery, ()),
        Stored(6, entries[4].delivery, ()),
    ]
    assert [stored.number for stored in reader.page(3, 100)] == [4, 6, 7]
    assert reader.page(7, 100) == reader.page(3, 3) == []


def test_a_page_is_bounded(store: Store, reader: Reader) -> None:
    """A page ends after so many rows, or with the row that fills its bytes; the next begins behind it."""
    append(store, *(entry(str(number)) for number in range(PAGE_ROWS + 1)))
    assert [stored.number for stored in reader.page(0, 1000)] == list(range(1, PAGE_ROWS + 1))
    assert [stored.number for stored in reader.page(PAGE_ROWS, 1000)] == [PAGE_ROWS + 1]
    append(store, *(entry(f"big-{number}", body=bytes(PAGE_BYTES // 2)) for number in range(3)))
    assert [stored.number for stored in reader.page(PAGE_ROWS + 1, 1000)] == [PAGE_ROWS + 2, PAGE_ROWS + 3]


def test_deliveries_are_loaded_by_number(store: Store, reader: Reader) -> None:
    """Whatever their status, those that are there are given, and the others left out."""
    one, two = entry("1"), entry("2", status=Status.DEAD)
    append(store, one, two)
    settle(store, published(1))
    assert reader.load([2, 1, 3]) == {2: Stored(2, two.delivery, ()), 1: Stored(1, one.delivery, ("a",))}


def test_a_fact_is_what_became_of_a_delivery(store: Store, reader: Reader) -> None:
    """A fact has the status and the records in Kafka; a record without offset is one, a refused one is not."""
    append(store, entry("1"), entry("2", status=Status.DEAD))
    assert reader.fact(1) == Fact(1, "1", Status.PENDING, None, ())
    topics = ("a", "b", "c")
    lost = replace(published(1, "b", topics), offset=None)
    settle(store, refused(1, "c", topics), published(1, "a", topics), lost)
    assert reader.fact(1) == Fact(1, "1", Status.DEAD, Reason.REFUSED, (Placed("a", 0, 101), Placed("b", 0, None)))
    assert reader.fact(2) == Fact(2, "2", Status.DEAD, Reason.UNROUTABLE, ())


def test_of_what_was_swept_there_is_no_fact(store: Store, reader: Reader) -> None:
    """A delivery that left the file is None, as is one that never was."""
    append(store, entry("1", status=Status.DROPPED))
    store.sweep(NOW + 1)
    assert reader.fact(1) is reader.fact(2) is None


def test_the_oldest_pending_one_has_an_age(store: Store, reader: Reader) -> None:
    """It is when the first of those that are pending came in; None when none is."""
    append(store, entry("dead", status=Status.DEAD))
    assert reader.pending_since() is None
    for number, received_at in enumerate((7.5, 3.5), 1):
        one = entry(str(number))
        append(store, replace(one, delivery=replace(one.delivery, received_at=received_at)))
    assert reader.pending_since() == 7.5
    settle(store, published(2))
    assert reader.pending_since() == 3.5


def test_flights_come_back_as_they_were_journalled(store: Store, reader: Reader) -> None:
    """Every field of a flight survives, and they stand in the order in which they were journalled."""
    flights = [FLIGHT, replace(FLIGHT, topic="b", base_sequence=(1 << 31) - 1, items=((9, bytes(range(256))),))]
    _, [journalled] = store.commit((), [Journal(flights=tuple(flights))], NOW)
    assert reader.flights() == list(journalled.flights)
    assert [replace(flight, id=0) for flight in reader.flights()] == flights


def test_a_reader_that_cannot_read_says_so(reader: Reader) -> None:
    """Every question to a file that is gone gets `Unavailable`."""
    reader.close()
    asks: list[Callable[[], object]] = [
        lambda: reader.page(0, 1),
        lambda: reader.load([1]),
        lambda: reader.fact(1),
        lambda: reader.unmirrored(0, ["contoso"]),
        reader.flights,
        reader.pending_since,
    ]
    for ask in asks:
        with pytest.raises(Unavailable, match=r"^the spool could not be read: (?!None)."):
            ask()


@pytest.mark.slow
def test_a_backlog_is_read_in_flat_memory(path: Path) -> None:
    """Opening a file with 100,000 pending deliveries, and reading them all page by page, takes what one page takes."""
    with opened(path, remembered=BACKLOG) as store:
        for start in range(0, BACKLOG, 5_000):
            append(store, *(entry(str(number), body=bytes(200)) for number in range(start, start + 5_000)))
    tracemalloc.start()
    try:
        with opened(path, remembered=BACKLOG) as store, closing(Reader(path)) as reader:
            assert store.pending == BACKLOG
            number = read = 0
            while page := reader.page(number, store.last_number):
                assert page[0].number == number + 1
                number = page[-1].number
                read += len(page)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == BACKLOG
    assert peak < 24 * BACKLOG + 3 * MIB


@pytest.mark.parametrize("state", [PENDING, DEAD])
def test_what_is_kept_is_found_by_its_index(path: Path, state: str) -> None:
    """Neither start nor the look for the oldest pending delivery walks through all that is settled."""
    with opened(path) as store:
        append(store, entry("1"))
    plan = [str(row) for row in look(path, f"EXPLAIN QUERY PLAN SELECT number FROM deliveries WHERE {state}")]  # noqa: S608 - constant
    assert "USING COVERING INDEX kept" in plan[0]


def test_a_page_is_found_without_looking_at_what_is_behind_it(path: Path) -> None:
    """However much is pending, nothing is sorted to find the next of it; nor of the dead letters to be mirrored."""
    with opened(path) as store:
        append(store, entry("1"))
    for query in (STORED + PAGE, TO_MIRROR.removesuffix("ORDER BY number")):  # what was found is sorted
        plan = [str(row) for row in look(path, f"EXPLAIN QUERY PLAN {re.sub(r'[?]', '1', query)}")]
        assert any("SEARCH deliveries USING" in step and "INDEX" in step for step in plan), plan
        assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


class _NoOtherDisk(apsw.VFS):
    """Opens the spool's own files only: elsewhere nothing may be written, or there is no room."""

    def __init__(self) -> None:
        super().__init__("no-other-disk", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        if name is None:
            raise apsw.CantOpenError("no place for a temporary file")
        return apsw.VFSFile("unix", name, flags)


def test_what_is_pending_is_read_where_nothing_else_may_be_written(path: Path) -> None:
    """A page as large as may be needs no temporary file; nor does a flight as large."""
    with opened(path) as store:
        append(store, *(entry(str(number), body=b"x" * 4000) for number in range(300)))
        disk = _NoOtherDisk()
        try:
            with closing(Reader(path)) as reader:
                assert len(reader.page(0, 1000)) == PAGE_BYTES // 4000 + 1
                assert len(reader.load(range(1, 251))) == 250
        finally:
            disk.unregister()


def test_a_text_that_is_read_as_bytes_holds_back_nobody(path: Path) -> None:
    """One flipped bit in a row's types makes bytes of a text: it is read as what it was, and those behind it too."""
    with opened(path) as store:
        append(store, entry("1"), entry("2"))
    whole = dump(path)
    alter(path, "UPDATE deliveries SET source = CAST(source AS BLOB), key_id = CAST(key_id AS BLOB) WHERE number = 1")
    assert dump(path) != whole
    with closing(Reader(path)) as reader:
        assert [(stored.delivery.source, stored.delivery.key_id) for stored in reader.page(0, 9)] == [
            ("contoso", "key-1")
        ] * 2
