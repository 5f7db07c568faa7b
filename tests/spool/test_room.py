"""Room: what the file holds, as it is counted at start and on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.model import Status
from relay.spool import Discard, Journal
from relay.spool.draft import RECORD_OVERHEAD, ROW_OVERHEAD
from relay.spool.file import PAGE_SIZE
from relay.spool.room import Room
from relay.spool.values import Done
from tests.spool.samples import MIB, NOW, append, entry, look, opened

if TYPE_CHECKING:
    from pathlib import Path

OWED = 2 * (1 + RECORD_OVERHEAD)


def size(body: int, id: str) -> int:  # noqa: A002 - as in `entry`
    """Give the bytes of a delivery of the usual type."""
    return body + len(id) + len("ProvisioningStarted") + ROW_OVERHEAD


def in_use(path: Path) -> int:
    """Measure the file by what SQLite says of it."""
    ((pages,),), ((free,),) = look(path, "PRAGMA page_count"), look(path, "PRAGMA freelist_count")
    return (int(str(pages)) - int(str(free))) * PAGE_SIZE


def test_what_the_file_holds_is_counted_when_it_is_opened(path: Path) -> None:
    """Bytes in use, those owed to what is pending, and those of dead letters; the limits follow from its size."""
    with opened(path) as store:
        pending = [replace(entry(id_), topics=("a",)) for id_ in "12"]
        append(store, *pending, entry("345", body=bytes(70), status=Status.DEAD), entry("6", status=Status.DROPPED))
        room = Room(store.connection, 10 * MIB)
        assert room.pending == 2
        usage = room.usage
        assert (usage.used, usage.dead, usage.dead_letters) == (in_use(path) + 2 * OWED, size(70, "345"), 1)
        assert (usage.max_size, usage.reserve, usage.dead_quota) == (10 * MIB, MIB, 10 * MIB // 4)
        assert store.connection.pragma("max_page_count") == 10 * MIB // PAGE_SIZE


def test_the_reserve_has_bounds(path: Path) -> None:
    """A tenth of the spool, but room for a commit at least, and never more than the largest commits take."""
    with opened(path) as store:
        reserves = [Room(store.connection, most).usage.reserve for most in (MIB, 100 * MIB, 2000 * MIB)]
    assert reserves == [64 * PAGE_SIZE, 10 * MIB, 64 * MIB]


def test_a_limit_counts_while_it_is_less(path: Path) -> None:
    """On a disk that others have filled the spool's size is what it has."""
    with opened(path) as store:
        room = Room(store.connection, 10 * MIB)
        for limit, most in ((3 * MIB, 3 * MIB), (20 * MIB, 10 * MIB), (None, 10 * MIB)):
            room.limit = limit
            assert room.usage.max_size == most


def test_what_is_on_disk_is_adopted(path: Path) -> None:
    """The bytes in use are said anew, and the sums move."""
    with opened(path) as store:
        room = Room(store.connection, 10 * MIB)
        room.take(1000, pending=3, owed=50, dead=7, dead_letters=2)
        room.take(2000, pending=-1, owed=-20, dead=-3, dead_letters=-1)
        assert (room.pending, room.usage.used, room.usage.dead, room.usage.dead_letters) == (2, 2030, 4, 1)
        room.take(3000)
        assert (room.pending, room.usage.used, room.usage.dead, room.usage.dead_letters) == (2, 3030, 4, 1)


def test_what_dies_is_measured(path: Path) -> None:
    """Of the deliveries that come to their end the dead ones count, each with its body."""
    with opened(path) as store:
        append(store, *(entry(id_, body=bytes(10 * int(id_))) for id_ in "123"))
        room = Room(store.connection, 10 * MIB)
        ends = [Done(1, Status.DEAD, None), Done(2, Status.PUBLISHED, None), Done(3, Status.DEAD, None)]
        assert room.buried(ends) == size(10, "1") + size(30, "3")
        assert room.sizes([2, 9]) == size(20, "2")


@pytest.mark.parametrize("id_", ["\0" + "x" * 1000, "\u00fc" * 500])
def test_what_leaves_the_dead_is_measured_as_it_was_when_it_came(path: Path, id_: str) -> None:
    """An id in which SQLite sees an early end, or that is longer in bytes, leaves nothing behind in the quota."""
    with opened(path) as store:
        append(store, entry(id_, status=Status.DEAD))
        dead = store.usage
        store.commit((), (Journal(discards=(Discard(1, "noise"),)),), NOW)
        assert (dead.dead > 1000, dead.dead_letters) == (True, 1)
        assert (store.usage.dead, store.usage.dead_letters) == (0, 0)


def test_the_disk_allots_what_the_file_grows_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole mebibytes, and only when it has outgrown what was allotted before."""
    asked: list[int] = []
    monkeypatch.setattr("relay.spool.room.allot", lambda _, size: asked.append(size))
    with opened(path) as store:
        room = Room(store.connection, 10 * MIB)
        room.allot()
        room.allot()
        first = asked.pop()
        assert (first, asked) == (store.connection.pragma("page_count") * PAGE_SIZE, [])
        for body in (MIB // 2, MIB):
            append(store, entry(str(body), body=bytes(body)))
            asked.clear()  # of what the store's own room had asked for
            room.allot()
            room.allot()
            assert len(asked) == (body == MIB)
        assert asked == [store.connection.pragma("page_count") * PAGE_SIZE]
        assert asked[0] > MIB
