"""Memory: the ids remembered are those of the file, and nobody who starts waits for them."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.core.errors import Unavailable
from relay.core.model import Status
from relay.spool.failure import Damaged
from relay.spool.file import connect_reader
from relay.spool.identity import digest_of
from relay.spool.memory import Memory, hashes
from relay.spool.store import Store
from tests.spool.samples import MIB, alter, append, append_all, entry, opened, recall_all, spool_at, until

if TYPE_CHECKING:
    from relay.metrics import Metrics
    from relay.spool import Entry


def hash_of(one: Entry) -> bytes:
    """Give what memory keeps of an id."""
    return digest_of(one.delivery.source, one.dedupe_id)[:8]


@pytest.mark.parametrize(("after", "until"), [(0, 10), (3, 7), (9, 10), (10, 10)])
def test_hashes_are_read_in_order(path: Path, after: int, until: int) -> None:
    """The hashes stand one behind the other as their numbers do."""
    entries = [entry(f"id-{number}") for number in range(1, 11)]
    with opened(path) as store:
        append(store, *entries)
    with closing(connect_reader(path)) as connection:
        assert hashes(connection, after, until) == b"".join(map(hash_of, entries[after:until]))


def test_a_digest_of_another_length_moves_no_other(path: Path) -> None:
    """What is damaged in one row leaves the others in their places."""
    entries = [entry(f"id-{number}") for number in range(3)]
    with opened(path) as store:
        append(store, *entries)
    alter(path, "UPDATE ids SET digest = x'01' WHERE number = 2")
    with opened(path) as store:
        assert [answer.number for answer in append(store, entries[0], entries[2])] == [1, 3]


@settings(max_examples=60)
@given(
    capacity=st.integers(1, 9),
    before=st.lists(st.integers(0, 12), max_size=20),
    between=st.lists(st.lists(st.integers(0, 12), max_size=4), max_size=12),
    piece=st.integers(1, 4),
)
@example(capacity=9, before=[1, 1, 2, 4], between=[[1], [1]], piece=1)  # the conflict comes again
def test_what_comes_while_the_ids_are_read_is_told_as_if_they_had_been(
    capacity: int, before: list[int], between: list[list[int]], piece: int
) -> None:
    """However they are read, and whatever comes between, each answer is that of a store that had read all at once.

    A conflict too: an odd id comes with the one content and the other in turns.
    """

    def entries(ids: list[int], moment: int) -> list[Entry]:
        return [
            entry(f"{one}", status=Status.DROPPED, fingerprint=bytes([moment % 2 if one % 2 else 0]) * 16)
            for one in ids
        ]

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("relay.spool.memory.PIECE", piece)
        patch.setattr("relay.spool.memory.MOST_ASKED", 2)
        paths = [Path(folder, name) for name in ("quick", "slow")]
        for path in paths:
            with opened(path, remembered=capacity) as store:
                for moment, one in enumerate(before):
                    append(store, *entries([one], moment))
        with (
            opened(paths[0], remembered=capacity) as whole,
            closing(Store(paths[1], max_size=64 * MIB, remembered=capacity)) as reading,
        ):
            for moment, ids in enumerate(between, len(before)):
                assert append(reading, *entries(ids, moment)) == append(whole, *entries(ids, moment))
                reading.recall()
            recall_all(reading)
            assert reading.memory.horizon == whole.memory.horizon
            for one in range(13):
                asked = entries([one], 99)
                assert append(reading, *asked) == append(whole, *asked)


def test_ids_that_leave_while_they_are_read_are_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sweep takes from the file is not remembered, whether it was read already or would have come next."""
    monkeypatch.setattr("relay.spool.memory.PIECE", 3)
    with opened(path) as store:
        append(store, *(entry(str(number), status=Status.DROPPED) for number in range(1, 10)))
    for oldest in (3, 6, 9):
        with closing(Store(path, max_size=64 * MIB, remembered=1000)) as store:
            store.recall()
            alter(path, f"DELETE FROM ids WHERE number < {oldest}")  # noqa: S608 - a number
            store.sweep(0)
            recall_all(store)
            assert store.memory.horizon == (10 - oldest, oldest)
            assert store.memory.recent is not None
            assert not store.memory.recent.may_have(digest_of("contoso", "2"))


def test_a_gap_among_the_ids_is_damage(path: Path) -> None:
    """An id that is missing would move all others: the file is made anew, which fills the gap."""
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(3)))
    alter(path, "DELETE FROM ids WHERE number = 2")
    with closing(Store(path, max_size=64 * MIB, remembered=1000)) as store, pytest.raises(Damaged, match="missing"):
        store.recall()


async def test_a_start_does_not_wait_for_the_ids(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool is open before the ids are read, and repeats are told while they are."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
    held, recall = threading.Event(), Memory.recall

    def recall_when_let(memory: Memory, last_number: int) -> bool:
        return held.is_set() and recall(memory, last_number)

    monkeypatch.setattr("relay.spool.memory.Memory.recall", recall_when_let)
    try:
        async with spool_at(path, metrics) as spool:
            assert (spool.pending, spool.last_number, spool.horizon) == (2, 2, (0, None))
            assert len(await spool.page(0, 2)) == 2
            assert [(one.number, one.duplicate) for one in await append_all(spool, ["2", "3"])] == [
                (2, True),
                (3, False),
            ]
            assert spool.horizon == (0, None)
            held.set()
            await until(lambda: spool.horizon == (3, 1))
    finally:
        held.set()


async def test_ids_that_cannot_be_read_are_asked_for_again(
    path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken while repeats cannot be told; once they can, the spool goes on by itself."""
    monkeypatch.setattr("relay.spool.spool.PROBE_INTERVAL", 0.01)
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1"])

    def refuse(*_: object) -> str:
        raise apsw.IOError("disk I/O error")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("relay.spool.memory.hashes", refuse)
        broken.setattr("relay.spool.memory.Unread._look", refuse)
        opening = spool_at(path, metrics)
        spool = await opening.__aenter__()
        with pytest.raises(Unavailable):
            await append_all(spool, ["1"])
    try:
        await until(lambda: spool.horizon == (1, 1))
        assert spool.fault is None
        assert (await append_all(spool, ["1"]))[0].duplicate
    finally:
        await opening.__aexit__()
