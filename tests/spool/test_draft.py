"""Draft: which number an entry gets, what it repeats, and when it cannot be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.errors import Cause, Reason, Unavailable
from relay.core.model import Status
from relay.spool import Appended
from relay.spool.draft import RECORD_OVERHEAD, ROW_OVERHEAD, Draft
from relay.spool.values import Usage
from tests.spool.samples import MIB, NOW, alter, append, dump, entry, look, opened, published, refused, settle

if TYPE_CHECKING:
    from pathlib import Path

    from relay.spool import Entry
    from relay.spool.store import Store

SMALL = 2 * MIB
TWO = 2 * (300 + len("1") + len("ProvisioningStarted") + ROW_OVERHEAD)  # bytes of two deliveries of 300 bytes


def fill(store: Store, template: Entry, cause: Cause) -> int:
    """Append until one is refused for the cause given; say how many were taken."""
    for taken in range(100_000):
        one = entry(f"fill-{template.status}-{taken}", body=template.delivery.body, status=template.status)
        [answer], _ = store.commit([one], (), NOW)
        if isinstance(answer, Unavailable):
            assert answer.cause is cause
            return taken
    raise AssertionError("never refused")


def test_numbers_have_no_gaps_and_are_never_given_again(path: Path) -> None:
    """Numbers go on from 1, over repeats, over openings, and over a file from which every body has left."""
    with opened(path) as store:
        assert [a.number for a in append(store, entry("1"), entry("1"), entry("2"))] == [1, 1, 2]
        assert [a.number for a in append(store, entry("2"), entry("3", status=Status.DEAD), entry("4"))] == [2, 3, 4]
    with opened(path) as store:
        assert (store.last_number, append(store, entry("5"))[0].number) == (5 - 1, 5)
        settle(store, *(published(number) for number in (1, 2, 4, 5)))
        alter(path, "UPDATE deliveries SET status = 'published' WHERE number = 3")
        assert store.sweep(NOW + 1) == 5
    assert look(path, "SELECT count(*) FROM deliveries") == [(0,)]
    with opened(path) as store:
        assert append(store, entry("6"))[0].number == 6


def test_all_of_a_delivery_is_kept(path: Path) -> None:
    """What was received is in the row unchanged: text with NUL and astral characters, and any bytes."""
    body = bytes(range(256))
    with opened(path) as store:
        append(store, entry("a\0b\U0001f600", body=body, status=Status.DEAD))
    row = (1, "contoso", "a\0b\U0001f600", "ProvisioningStarted", 12.5, "key-1", "c2lnbmF0dXJl", "00-1234-5678-01")
    end = ("dead", "unroutable", "no rule matches", NOW, 0, "dead", NOW, 0, None)
    assert dump(path)["deliveries"] == [(*row, *end, *6 * [None])]  # and nothing of copies
    assert dump(path)["bodies"] == [(1, body)]
    assert [number for number, *_, accepted_at in dump(path)["ids"] if accepted_at == NOW] == [1]


def test_a_repeat_in_one_commit(path: Path) -> None:
    """Of equal deliveries in one commit the first is taken, and the others say its number."""
    with opened(path) as store:
        first, *repeats = append(store, *[entry("1")] * 3)
    assert first == Appended(1, Status.PENDING, None, None)
    assert repeats == [Appended(1, Status.PENDING, None, None, duplicate=True)] * 2


def test_a_repeat_says_what_became_of_the_first(path: Path) -> None:
    """Later, and after another start, a repeat says the first one's number and its status of now."""
    dead = Appended(3, Status.DEAD, Reason.UNROUTABLE, "no rule matches", duplicate=True)
    dropped = Appended(4, Status.DROPPED, None, "noise", duplicate=True)
    all_four = entry("1"), entry("2"), entry("3", status=Status.DEAD), entry("4", status=Status.DROPPED)
    with opened(path) as store:
        append(store, *all_four)
        settle(store, published(1))
        expected = [
            Appended(1, Status.PUBLISHED, None, None, duplicate=True),
            Appended(2, Status.PENDING, None, None, duplicate=True),
            dead,
            dropped,
        ]
        assert append(store, *all_four) == expected
    with opened(path) as store:
        assert append(store, *all_four) == expected
        assert (store.pending, store.last_number) == (1, 4)


def test_a_repeat_is_known_longer_than_the_body(path: Path) -> None:
    """An id outlives its row; what left the file was published."""
    with opened(path) as store:
        append(store, entry("1"))
        settle(store, published(1))
        store.sweep(NOW + 1)
        repeat = Appended(1, Status.PUBLISHED, None, None, duplicate=True)
        assert append(store, entry("1")) == [repeat]
    with opened(path) as store:
        assert append(store, entry("1")) == [repeat]


def test_beyond_the_horizon_an_id_is_new(path: Path) -> None:
    """Exactly the last ids are remembered, as many as configured, also when it is configured anew."""
    with opened(path, remembered=3) as store:
        append(store, *(entry(str(number)) for number in range(1, 6)))
        assert store.memory.horizon == (3, 3)
        assert [a.duplicate for a in append(store, entry("3"), entry("2"))] == [True, False]
        assert store.memory.horizon == (3, 4)
    with opened(path, remembered=2) as store:
        assert [a.duplicate for a in append(store, entry("5"), entry("4"))] == [True, False]


def test_an_id_belongs_to_its_source(path: Path) -> None:
    """The same id from another source is another event, however the two texts meet."""
    with opened(path) as store:
        pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("c", "ab")]
        answers = append(store, *(entry(id_, source=source) for source, id_ in pairs))
    assert answers == [Appended(number, Status.PENDING, None, None) for number in range(1, 5)]


def test_a_hash_alone_is_no_repeat(path: Path) -> None:
    """Where the 8 bytes in memory agree and the digest in the file does not, the delivery is taken."""
    with opened(path) as store:
        append(store, entry("1"))
        alter(path, "UPDATE ids SET digest = substr(digest, 1, 8) || zeroblob(8)")
        assert append(store, entry("1")) == [Appended(2, Status.PENDING, None, None)]
        assert append(store, entry("1"))[0].number == 2


@pytest.mark.parametrize("together", [True, False])
def test_a_conflict_is_kept_once_for_each_body(path: Path, *, together: bool) -> None:
    """An id with another type or content is a dead letter, once for each; the first one goes its way."""
    entries = [entry("1"), entry("1", fingerprint=b"B" * 16), entry("1", fingerprint=b"C" * 16)] * 2
    with opened(path) as store:
        answers = append(store, *entries) if together else [append(store, one)[0] for one in entries]
        assert [(a.number, a.status, a.reason, a.duplicate) for a in answers] == [
            (1, Status.PENDING, None, False),
            (2, Status.DEAD, Reason.ID_CONFLICT, False),
            (3, Status.DEAD, Reason.ID_CONFLICT, False),
            (1, Status.PENDING, None, True),
            (2, Status.DEAD, Reason.ID_CONFLICT, True),
            (3, Status.DEAD, Reason.ID_CONFLICT, True),
        ]
        assert answers[2].detail == "delivery 1 has the same id with another type or content"
        assert store.pending == 1


def test_what_is_full_refuses_appends_and_goes_on(path: Path) -> None:
    """When full, appends get `Unavailable` and repeats do not; journals go on; and once swept, appends do too."""
    topics = ("a", "b", "c")
    with opened(path, max_size=SMALL, remembered=100_000) as store:
        taken = fill(store, entry("", body=b"x" * 300), Cause.SPOOL_FULL)
        assert taken > 1000
        assert append(store, entry("fill-pending-0"))[0].duplicate
        for topic in topics:  # one after the other: the dearest way to settle
            for number in range(1, taken + 1, 50):
                settle(store, *(published(n, topic, topics) for n in range(number, min(number + 50, taken + 1))))
        assert store.pending == 0
        while store.sweep(0):
            pass
        assert not store.usage.full
        assert fill(store, entry("", body=b"y", status=Status.DROPPED), Cause.SPOOL_FULL) > 100
        assert store.usage.used <= SMALL
    assert path.stat().st_size <= SMALL


def test_what_does_not_fit_holds_back_nothing_beside_it(path: Path) -> None:
    """In one commit each entry is answered for itself, and a refused one leaves no gap."""
    with opened(path, max_size=SMALL) as store:
        big = [entry(f"big-{n}", body=bytes(1 + SMALL * 3 // 4)) for n in range(2)]
        answers, _ = store.commit([entry("1"), big[0], big[1], entry("2"), big[1]], (), NOW)
        assert [a.number if isinstance(a, Appended) else a.cause for a in answers] == [
            *(1, 2, Cause.SPOOL_FULL, 3, Cause.SPOOL_FULL)
        ]


@pytest.mark.parametrize("size", [0, 600, 2100, 3000, 5000])
def test_no_commit_fails_for_want_of_space(path: Path, size: int) -> None:
    """Space is reckoned before the transaction, well enough that a whole group is never lost to a full file."""
    with opened(path, max_size=SMALL) as store:
        accepted = 0
        for group in range(200):
            answers, _ = store.commit([entry(f"{group}-{n}", body=bytes(size)) for n in range(100)], (), NOW)
            accepted += sum(isinstance(a, Appended) for a in answers)
        assert accepted == store.last_number < 20_000
        assert settle(store, *map(published, range(1, accepted + 1)))[-1] == (accepted, Status.PUBLISHED, None)


@pytest.mark.parametrize("size", [10, 20_000])
def test_dead_letters_have_a_quota(path: Path, size: int) -> None:
    """Dead letters take a quarter of the file, whatever their size; beyond it they are refused, good ones are not."""
    with opened(path, max_size=SMALL) as store:
        dead = fill(store, entry("", body=bytes(size), status=Status.DEAD), Cause.DEAD_QUOTA)
        assert dead > 10
        assert store.usage.used < SMALL // 3
        assert append(store, entry("good"))[0].status is Status.PENDING
    with opened(path, max_size=SMALL) as store:
        [answer], _ = store.commit([entry("more", body=bytes(size), status=Status.DEAD)], (), NOW)
        assert isinstance(answer, Unavailable)
        assert answer.cause is Cause.DEAD_QUOTA


def test_a_delivery_that_dies_later_counts_against_the_quota(path: Path) -> None:
    """What Kafka refused is a dead letter like any other: counted at once, and the same after another start."""
    with opened(path, max_size=SMALL) as store:
        append(store, *(entry(str(number), body=bytes(1000)) for number in range(1, 11)))
        assert store.usage.dead == 0
        settle(store, *map(refused, range(1, 11)))
        settle(store, refused(1))
        counted = store.usage.dead
        assert 10 * 1000 < counted < 10 * 2000
    with opened(path, max_size=SMALL) as store:
        assert store.usage.dead == counted


def drafted(store: Store, usage: Usage) -> Draft:
    """Begin a draft on a store whose usage is said."""
    recent = store.memory.recent
    assert recent is not None
    return Draft(store.connection, recent, store.last_number + 1, usage)


def test_a_draft_adds_up_what_it_takes(path: Path) -> None:
    """Its bytes, those kept for settling what is pending, and those of the dead; a repeat adds nothing."""
    pending = replace(entry("12", body=bytes(100)), type=None, topics=("a", "bb"))
    dead, dropped = entry("345", body=bytes(7), status=Status.DEAD), entry("6", body=b"", status=Status.DROPPED)
    sizes = [100 + 2 + ROW_OVERHEAD, 7 + 3 + 19 + ROW_OVERHEAD, 1 + 19 + ROW_OVERHEAD]
    owed = 2 * (1 + RECORD_OVERHEAD) + 2 * (2 + RECORD_OVERHEAD)
    with opened(path) as store:
        draft = drafted(store, Usage(0, MIB, 0, 0, MIB))
        answers = [draft.append(one, NOW) for one in (pending, dead, dropped, pending, dead)]
        assert answers == [
            Appended(1, Status.PENDING, None, None),
            Appended(2, Status.DEAD, Reason.UNROUTABLE, "no rule matches"),
            Appended(3, Status.DROPPED, None, "noise"),
            Appended(1, Status.PENDING, None, None, duplicate=True),
            Appended(2, Status.DEAD, Reason.UNROUTABLE, "no rule matches", duplicate=True),
        ]
        assert (draft.size, draft.owed, draft.dead) == (sum(sizes) + owed, owed, sizes[1])
        assert (draft.pending, draft.buried, len(draft.ids)) == (1, 1, 3)


@pytest.mark.parametrize(
    ("usage", "status", "refusal"),
    [
        (Usage(1000, 1000 + TWO + 30, 30, 0, MIB), Status.PENDING, None),
        (Usage(1000, 1000 + TWO + 29, 30, 0, MIB), Status.PENDING, ("the spool is full", 5, Cause.SPOOL_FULL)),
        (Usage(0, MIB, 0, 50, 50 + TWO), Status.DEAD, None),
        (Usage(0, MIB, 0, 51, 50 + TWO), Status.DEAD, ("the dead letters fill their quota", 60, Cause.DEAD_QUOTA)),
        (Usage(0, MIB, 0, 51, 50 + TWO), Status.PENDING, None),
    ],
)
def test_what_no_longer_fits_says_why(
    path: Path, usage: Usage, status: Status, refusal: tuple[str, int, Cause] | None
) -> None:
    """To the byte: a delivery fits beside the reserve and what was taken before, and a dead one into the quota."""
    with opened(path) as store:
        draft = drafted(store, usage)
        first, second = (draft.append(entry(id_, body=bytes(300), status=status), NOW) for id_ in "12")
        assert isinstance(first, Appended)
        told = (str(second), second.retry_after, second.cause) if isinstance(second, Unavailable) else None
        assert told == refusal


def test_a_conflict_says_with_which_delivery(path: Path) -> None:
    """The dead letter names the number of the one that has its id."""
    with opened(path) as store:
        append(store, entry("0"), entry("1"))
        [answer] = append(store, entry("1", fingerprint=bytes(16)))
    detail = "delivery 2 has the same id with another type or content"
    assert answer == Appended(3, Status.DEAD, Reason.ID_CONFLICT, detail)
