"""Replays and discards: dead letters leave the dead ones once, together with what takes their place."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.model import Replay, Status
from relay.spool import Appended, Discard, Entry, Journal, Verdict
from relay.spool.identity import copy_digest_of
from relay.spool.reader import Reader
from tests.spool.samples import NOW, alter, append, dump, entry, look, opened, published, refused, settle, spool_at

if TYPE_CHECKING:
    from pathlib import Path

    from relay.core.errors import Unavailable
    from relay.metrics import Metrics
    from relay.spool.store import Store

STATES = "SELECT number, status, replay_of, withdrawn FROM deliveries"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a spool."""
    return tmp_path / "spool.db"


def replay(
    of: int,
    id: str = "1",  # noqa: A002 - as in `entry`
    *,
    topic: str | None = None,
    again: bool = False,
    body: bytes = b"{}",
) -> Entry:
    """Give the replay of a delivery with this id."""
    return replace(entry(id, body=body), copy=Replay(of, topic), again=again, topics=("a",))


def commit(store: Store, *entries: Entry) -> list[Appended | Unavailable]:
    """Commit entries, of which some may not be taken."""
    return store.commit(entries, (), NOW)[0]


def test_a_replay_takes_the_place_of_its_dead_letter(path: Path) -> None:
    """The dead letter is dropped as replayed, keeps its reason and its body, and its replay is pending at the end."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2"))
        assert append(store, replay(1)) == [Appended(3, Status.PENDING, None, None, withdrew=True)]
        assert look(path, "SELECT digest FROM ids WHERE number = 3") == [(copy_digest_of("contoso", 3),)]
        assert (store.pending, store.last_number, store.usage.dead) == (2, 3, 0)
        assert look(path, STATES) == [
            (1, "dropped", None, "replayed"), (2, "pending", None, None), (3, "pending", 1, None)
        ]  # fmt: skip
        assert look(path, "SELECT reason, settled_at FROM deliveries WHERE number = 1") == [("unroutable", NOW)]
        assert settle(store, published(3)) == [(3, Status.PUBLISHED, None)]
    with opened(path) as store:  # what is counted at start is what was counted on the way
        assert (store.pending, store.last_number, store.usage.dead) == (1, 3, 0)


def test_a_replay_is_read_with_its_topic(path: Path) -> None:
    """Whoever publishes it knows of which delivery it is, and where alone it goes."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DEAD))
        append(store, replay(1, topic="b"), replay(2, "2"))
        with closing(Reader(path)) as reader:
            assert [stored.copy for stored in reader.page(0, 9)] == [Replay(1, "b"), Replay(2, None)]


def test_a_second_replay_is_not_taken(path: Path) -> None:
    """Once replayed a dead letter is so no more, in one commit or in two, unless it is said."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD))
        first, second = commit(store, replay(1), replay(1))
        assert first == Appended(2, Status.PENDING, None, None, withdrew=True)
        assert second == Appended(2, Status.PENDING, None, None, duplicate=True)
        assert append(store, replay(1)) == [second]
        assert append(store, replay(1, again=True)) == [Appended(3, Status.PENDING, None, None)]
        alter(path, "DELETE FROM deliveries WHERE number > 1")  # as a sweep would, by and by
        assert append(store, replay(1)) == [Appended(1, Status.DROPPED, None, None, duplicate=True)]


def test_a_published_delivery_is_replayed_and_stays_published(path: Path) -> None:
    """It keeps its status; a second time has to be said."""
    with opened(path) as store:
        append(store, entry("1"))
        settle(store, published(1))
        append(store, replay(1, topic="other"))
        assert append(store, replay(1)) == [Appended(2, Status.PENDING, None, None, duplicate=True)]
        assert look(path, "SELECT number, status, replay_of, target FROM deliveries") == [
            (1, "published", None, None), (2, "pending", 1, "other")
        ]  # fmt: skip
        assert look(path, "SELECT number FROM records") == [(1,)]


def test_what_is_on_its_way_or_gone_is_not_replayed(path: Path) -> None:
    """A pending delivery goes by itself, and what is not there cannot go; others of the commit do."""
    with opened(path) as store:
        append(store, entry("1"), entry("2", status=Status.DEAD))
        pending, gone, taken = commit(store, replay(1), replay(9), replay(2, "2"))
        assert [str(pending), str(gone)] == [
            "delivery 1 is pending, and cannot be replayed", "delivery 9 is not kept, and cannot be replayed"
        ]  # fmt: skip
        assert taken == Appended(3, Status.PENDING, None, None, withdrew=True)


def test_a_replay_that_was_planned_for_a_dead_letter_finds_one(path: Path) -> None:
    """When it was replayed or given up meanwhile, nothing is taken, not even again: the plan is of another day."""
    with opened(path) as store:
        append(store, entry("1"), entry("2", status=Status.DEAD))
        settle(store, published(1, "a", ("a", "b")), refused(1, "b", ("a", "b")))
        store.commit((), (Journal(discards=(Discard(1, "x"),)),), NOW)
        late, first, second = (replace(replay(of, again=True), of_dead=True) for of in (1, 2, 2))
        given_up, taken = commit(store, late, first)
        assert str(given_up) == "delivery 1 is no dead letter any more"
        assert taken == Appended(3, Status.PENDING, None, None, withdrew=True)
        assert commit(store, second) == [Appended(3, Status.PENDING, None, None, duplicate=True)]
        assert look(path, STATES) == [
            (1, "dropped", None, "discarded"), (2, "dropped", None, "replayed"), (3, "pending", 2, None)
        ]  # fmt: skip


def test_what_is_in_kafka_goes_along(path: Path) -> None:
    """The replay of a delivery that is dead in one topic only has the others' records already."""
    with opened(path) as store:
        append(store, entry("1"))
        settle(store, published(1, "a", ("a", "b")), refused(1, "b", ("a", "b")))
        append(store, replay(1))
        assert look(path, "SELECT number, topic, reason FROM records") == [
            (1, "a", None), (1, "b", "refused"), (2, "a", None)
        ]  # fmt: skip
        reader = Reader(path)
        (stored,) = reader.page(0, 9)
        reader.close()
        assert (stored.number, stored.settled, stored.copy) == (2, ("a",), Replay(1))
        append(store, replay(1, topic="b", again=True))
        assert look(path, "SELECT count(*) FROM records WHERE number = 3") == [(0,)]


def test_a_replay_is_no_first_one(path: Path) -> None:
    """Repeats are those of the delivery that was first; the memory of ids has no gap where a replay is."""
    with opened(path, remembered=3) as store:
        append(store, entry("1", status=Status.DEAD))
        append(store, replay(1), entry("2"))
        (again,) = append(store, entry("1"))
        assert (again.number, again.status, again.reason, again.duplicate) == (1, Status.DROPPED, None, True)
        assert store.memory.horizon == (3, 1)
    with opened(path, remembered=3) as store:
        assert append(store, entry("1"))[0].duplicate
        assert append(store, entry("2"))[0].number == 3


def test_a_full_spool_takes_no_replay(path: Path) -> None:
    """A replay needs room as any delivery does; the dead letter stays one."""
    with opened(path, max_size=1 << 20) as store:
        append(store, entry("1", body=b"x" * 200_000, status=Status.DEAD))
        while isinstance(commit(store, entry(str(store.last_number + 1), body=b"x" * 100_000))[0], Appended):
            pass
        (full,) = commit(store, replay(1, body=b"x" * 100_000))
        assert str(full) == "the spool is full"
        assert look(path, "SELECT status FROM deliveries WHERE number = 1") == [("dead",)]


def test_a_dead_letter_is_given_up(path: Path) -> None:
    """It is dropped with the words said, and makes room for others; nothing else is touched."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2"), entry("3", status=Status.DROPPED))
        discards = tuple(Discard(number, "known noise") for number in (1, 1, 2, 3, 4))
        assert store.usage.dead > 0
        (journalled,) = store.commit((), (Journal(discards=discards),), NOW + 1)[1]
        assert (journalled.discarded, store.usage.dead, store.pending) == ((1,), 0, 1)
        query = "SELECT status, withdrawn, because, reason, settled_at FROM deliveries WHERE number = 1"
        assert look(path, query) == [("dropped", "discarded", "known noise", "unroutable", NOW + 1)]
        (replayed,) = append(store, replay(1))  # somebody thinks better of it
        assert replayed.number == 4
    with opened(path) as store:
        assert store.usage.dead == 0


def test_several_dead_letters_are_given_up_in_one_commit(path: Path) -> None:
    """What each journal of a commit gives up makes room."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DEAD))
        journals = [Journal(discards=(Discard(number, "noise"),)) for number in (1, 2)]
        assert [one.discarded for one in store.commit((), journals, NOW)[1]] == [(1,), (2,)]
        assert store.usage.dead == 0


def test_the_withdrawn_leave_with_age(path: Path) -> None:
    """A dead letter is kept for ever; from the moment it is withdrawn it leaves as others do."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DEAD), entry("3", status=Status.DEAD))
        store.commit((replay(1),), (Journal(discards=(Discard(2, "x"),)),), NOW + 9)
        assert store.sweep(NOW + 9) == 0
        assert store.sweep(NOW + 10) == 2
        assert look(path, "SELECT number, status FROM deliveries") == [(3, "dead"), (4, "pending")]


def test_a_replay_that_is_taken_back_leaves_its_dead_letter(path: Path) -> None:
    """What a commit that was reported as failed left on disk goes, and the dead letter is one again, not lost."""
    with opened(path) as store:
        append(store, entry("1"), entry("2", status=Status.DEAD), entry("3", status=Status.DEAD))
        settle(store, published(1, "a", ("a", "b")), refused(1, "b", ("a", "b")))
        append(store, replay(2, "2"))
        before = dump(path)
        append(store, replay(1), replay(3, "3"))
        store.take_back(4, 0)
    after = dump(path)
    assert {table: after[table] for table in after if table != "deliveries"} == {
        table: before[table] for table in before if table != "deliveries"
    }
    assert look(path, STATES) == [
        (1, "dead", None, None), (2, "dropped", None, "replayed"), (3, "dead", None, None), (4, "pending", 2, None)
    ]  # fmt: skip


def test_a_second_replay_that_is_taken_back_leaves_the_first(path: Path) -> None:
    """The dead letter is none any more: what took its place stands, and the totals say so."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD))
        append(store, replay(1))
        before = dump(path)
        append(store, replay(1, again=True))
        store.take_back(2, 0)
    assert dump(path) == before


def test_a_replay_may_die_and_be_replayed(path: Path) -> None:
    """A replay is a delivery as any other: it may be dead by the rules of another day, and be replayed itself."""
    with opened(path) as store:
        append(store, entry("1", status=Status.DEAD))
        append(store, replay(1))
        store.commit((), (Journal(verdicts=(Verdict(2, Status.DEAD),)),), NOW)
        assert store.usage.dead > 0
        append(store, replay(2))
        assert look(path, STATES) == [
            (1, "dropped", None, "replayed"), (2, "dropped", 1, "replayed"), (3, "pending", 2, None)
        ]  # fmt: skip


async def test_replays_come_to_disk_in_order_with_the_rest(path: Path, metrics: Metrics) -> None:
    """Replays, appends and discards that wait together are handed on in order of their numbers, and once."""
    heard: list[int] = []

    def on_disk(appended: Appended) -> None:
        heard.append(appended.number)

    async with spool_at(path, metrics) as spool:
        dead = [await spool.append(entry(str(n), status=Status.DEAD), on_disk) for n in range(3)]
        answers = [spool.append(one, on_disk) for one in (replay(1, "0"), entry("new"), replay(1, "0"), replay(2, "1"))]
        taken = await asyncio.gather(*answers, spool.write(Journal(discards=(Discard(3, "x"),))))
        assert [one.number for one in dead] == [1, 2, 3]
        assert [one.number for one in taken if isinstance(one, Appended)] == [4, 5, 4, 6]
        assert heard == [1, 2, 3, 4, 5, 6]
        assert spool.usage.dead == 0
