"""Memory: the ids remembered are those of the file, and nobody who starts waits for them."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from relay.core.errors import Unavailable
from relay.spool.file import connect_reader
from relay.spool.identity import digest_of
from relay.spool.memory import Memory, hashes
from tests.spool.samples import alter, append, append_all, entry, opened, spool_at, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.metrics import Metrics
    from relay.spool import Entry
    from relay.spool.recent import RecentIds


def hash_of(one: Entry) -> bytes:
    """Give what memory keeps of an id."""
    return digest_of(one.delivery.source, one.dedupe_id)[:8]


@pytest.mark.parametrize("most", [1, 3, 4, 9, 10, 11, 1000])
def test_the_last_hashes_are_read_in_order(path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Whatever the pieces they are read in, the hashes stand one behind the other as their numbers do."""
    monkeypatch.setattr("relay.spool.memory.PIECE", 4)
    entries = [entry(f"id-{number}") for number in range(10)]
    with opened(path) as store:
        append(store, *entries)
    with closing(connect_reader(path)) as connection:
        assert hashes(connection, 10, most) == b"".join(map(hash_of, entries[-most:]))


def test_a_digest_of_another_length_moves_no_other(path: Path) -> None:
    """What is damaged in one row leaves the others in their places."""
    entries = [entry(f"id-{number}") for number in range(3)]
    with opened(path) as store:
        append(store, *entries)
    alter(path, "UPDATE ids SET digest = x'01' WHERE number = 2")
    with opened(path) as store:
        assert [answer.number for answer in append(store, entries[0], entries[2])] == [1, 3]


async def test_a_start_does_not_wait_for_the_ids(path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool is open before the ids are read; what is appended meanwhile is decided once they are."""
    async with spool_at(path, metrics) as spool:
        await append_all(spool, ["1", "2"])
    held, recall = threading.Event(), Memory.recall

    def recall_when_let(memory: Memory) -> RecentIds:
        assert held.wait(30)
        return recall(memory)

    monkeypatch.setattr("relay.spool.memory.Memory.recall", recall_when_let)
    try:
        async with spool_at(path, metrics) as spool:
            assert (spool.pending, spool.last_number, spool.horizon) == (2, 2, (0, None))
            assert len(await spool.page(0, 2)) == 2
            held.set()
            assert [(one.number, one.duplicate) for one in await append_all(spool, ["2", "3"])] == [
                (2, True),
                (3, False),
            ]
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
    refusing = [True, True]
    recall = Memory.recall

    def recall_at_last(memory: Memory) -> RecentIds:
        if refusing and refusing.pop():
            raise apsw.IOError("disk I/O error")
        return recall(memory)

    monkeypatch.setattr("relay.spool.memory.Memory.recall", recall_at_last)
    async with spool_at(path, metrics) as spool:
        with pytest.raises(Unavailable):
            await append_all(spool, ["1"])
        await until(lambda: spool.fault is None)
        assert (await append_all(spool, ["1"]))[0].duplicate
