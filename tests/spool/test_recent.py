"""RecentIds: finds what a plain dict would, in bounded memory."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.spool.recent import RecentIds

# Few homes, at both ends of any small table, and several hashes to each: they collide, chain and wrap around.
HASHES = [home + (twist << 40) for home in (0, 1, 2, (1 << 40) - 2, (1 << 40) - 1) for twist in range(3)]
DIGESTS = [value.to_bytes(8) + bytes(8) for value in HASHES]


@given(
    capacity=st.integers(1, 12),
    first=st.integers(1, 1 << 40),
    history=st.lists(st.sampled_from(DIGESTS), max_size=150),
)
def test_it_finds_what_a_dict_finds(capacity: int, first: int, history: list[bytes]) -> None:
    """After any history, each hash is found under exactly the numbers within the horizon that have it."""
    recent = RecentIds(capacity)
    model: dict[int, bytes] = {}
    for number, digest in enumerate(history, first):
        recent.add(number, digest)
        model[number] = digest
        model.pop(number - capacity, None)
        for wanted in DIGESTS:
            assert sorted(recent.find(wanted)) == [n for n, known in model.items() if known == wanted]
        assert (len(recent), recent.oldest) == (len(model), min(model))


def test_nothing_is_found_in_nothing() -> None:
    """Without ids there is no horizon, and no id is found."""
    recent = RecentIds(5)
    assert (len(recent), recent.oldest, list(recent.find(DIGESTS[0]))) == (0, None, [])


def test_digests_that_differ_behind_the_hash_are_both_candidates() -> None:
    """Only 8 bytes are remembered, so a hit is for the caller to confirm."""
    recent = RecentIds(5)
    recent.add(7, b"12345678" + b"a" * 8)
    assert list(recent.find(b"12345678" + b"b" * 8)) == [7]


@pytest.mark.parametrize("number", [5, 6, 8])
def test_a_gap_is_a_mistake(number: int) -> None:
    """Numbers come without gaps, or the ring would tell wrong ones."""
    recent = RecentIds(5)
    recent.add(6, DIGESTS[0])
    with pytest.raises(ValueError, match=f"without gaps: {number} after 6"):
        recent.add(number, DIGESTS[1])


@pytest.mark.parametrize("capacity", [40_000, 65_536])
def test_an_id_takes_at_most_24_bytes(capacity: int) -> None:
    """Memory is taken at once, and neither filling it nor turning it over takes more."""
    tracemalloc.start()
    try:
        recent = RecentIds(capacity)
        for number in range(1, capacity + capacity // 2):
            recent.add(number, sha256(number.to_bytes(8)).digest())
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(recent) == capacity
    assert 16 * capacity <= taken <= 24 * capacity + 4096


@given(
    capacity=st.integers(1, 12),
    first=st.integers(1, 1 << 40),
    history=st.lists(st.sampled_from(DIGESTS), max_size=40),
    later=st.lists(st.sampled_from(DIGESTS), max_size=20),
    piece=st.integers(1, 40),
)
def test_filled_in_pieces_it_is_as_if_filled_one_by_one(
    capacity: int, first: int, history: list[bytes], later: list[bytes], piece: int
) -> None:
    """What is read at start in pieces finds, counts and forgets as what was remembered one by one."""
    slow, quick = RecentIds(capacity), RecentIds(capacity)
    for number, digest in enumerate(history, first):
        slow.add(number, digest)
    for start in range(0, len(history), piece):
        quick.fill(first + start, b"".join(digest[:8] for digest in history[start : start + piece]))
    for number, digest in enumerate(later, first + len(history)):
        slow.add(number, digest)
        quick.add(number, digest)
    assert (len(quick), quick.oldest) == (len(slow), slow.oldest)
    for wanted in DIGESTS:
        assert sorted(quick.find(wanted)) == sorted(slow.find(wanted))
