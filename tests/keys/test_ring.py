"""The ring: which keys are good, when they end, and what never comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.model import Key
from relay.core.signature import fingerprint
from relay.keys.ring import MAX_FETCHED, FetchedKey, LeakedError, Ring, State

OLD, NEW, OTHER = b"old-key-old-key-old", b"new-key-new-key-new", b"other-key-other-key"
OVERLAP = 100.0


def good(ring: Ring, now: float, configured: tuple[Key, ...] = ()) -> set[bytes]:
    """Give the secrets that are good."""
    return {key.secret for key in ring.good(configured, now)}


def key_of(secret: bytes) -> Key:
    """Give a configured key."""
    return Key(fingerprint(secret), secret)


def test_a_new_key_is_good_at_once_and_the_old_one_for_the_overlap() -> None:
    """Both are good from the fetch on, until the overlap is over to the second; then only the new one."""
    ring = Ring().take(OLD, 0.0, OVERLAP).take(NEW, 50.0, OVERLAP)
    assert good(ring, 50.0) == good(ring, 149.9) == {OLD, NEW}
    assert good(ring, 150.0) == {NEW}
    assert [key.secret for key in ring.swept((), 150.0).fetched] == [NEW]
    assert ring.next_end() == 150.0


def test_the_same_key_again_changes_nothing() -> None:
    """A key that is fetched again is the same, has no end, and was first seen when it was."""
    ring = Ring().take(OLD, 0.0, OVERLAP)
    assert ring.take(OLD, 1e9, OVERLAP) == ring
    assert good(ring, 1e9) == {OLD}


def test_a_later_rotation_does_not_lengthen_the_life_of_an_older_key() -> None:
    """The overlap counts from when a key was replaced, however many come after; a key that comes back has no end."""
    ring = Ring().take(OLD, 0.0, OVERLAP).take(NEW, 50.0, OVERLAP).take(OTHER, 120.0, OVERLAP)
    assert good(ring, 149.0) == {OLD, NEW, OTHER}
    assert good(ring, 150.0) == {NEW, OTHER}
    assert good(ring.take(OLD, 140.0, OVERLAP), 1e9) == {OLD}


def test_without_overlap_the_old_key_ends_at_once() -> None:
    """An overlap of nothing is none."""
    assert good(Ring().take(OLD, 0.0, 0.0).take(NEW, 1.0, 0.0), 1.0) == {NEW}


def test_what_is_retired_by_hand_is_never_good_again() -> None:
    """Neither Syskit Point nor the configuration brings a leaked key back, nor does time."""
    ring = Ring().take(OLD, 0.0, OVERLAP).retire(fingerprint(OLD), 10.0)
    with pytest.raises(LeakedError):
        ring.take(OLD, 20.0, OVERLAP)
    assert good(ring, 20.0, (key_of(OLD),)) == set()
    assert good(ring.take(NEW, 30.0, OVERLAP), 30.0, (key_of(OLD),)) == {NEW}
    assert ring.retire(fingerprint(OLD), 40.0).retired == {fingerprint(OLD): 10.0}


def test_a_configured_key_has_no_end() -> None:
    """What the configuration lists is good as long as it lists it, also when Syskit Point has rotated it away."""
    ring = Ring().take(OLD, 0.0, OVERLAP).take(NEW, 1.0, OVERLAP)
    assert good(ring, 1e9, (key_of(OLD),)) == {OLD, NEW}
    (row,) = [row for row in ring.rows("s", (key_of(OLD),), 2.0) if row.fingerprint == fingerprint(OLD)]
    assert (row.state, row.origins, row.retires_at) == (State.CURRENT, ("configured", "fetched"), None)


def test_rows_tell_everything_but_the_key() -> None:
    """Each key is told by its fingerprint: state, where it is from, when it was seen and used, and when it ends."""
    ring = Ring(last_used={fingerprint(OLD): 7.0}).take(OLD, 1.0, OVERLAP).take(NEW, 5.0, OVERLAP)
    ring = ring.retire(fingerprint(OTHER), 6.0)
    rows = ring.rows("s", (), 8.0)
    assert [(r.fingerprint, r.state, r.origins, r.first_seen, r.last_used, r.retires_at) for r in rows] == [
        (fingerprint(OLD), State.RETIRING, ("fetched",), 1.0, 7.0, 105.0),
        (fingerprint(NEW), State.CURRENT, ("fetched",), 5.0, None, None),
        (fingerprint(OTHER), State.RETIRED, (), None, None, 6.0),
    ]  # fmt: skip
    shown = repr(ring) + str(rows)
    assert OLD.decode() not in shown
    assert NEW.decode() not in shown


def test_what_is_over_is_forgotten() -> None:
    """When a key was seen and used is kept while it is good, or retired by hand."""
    ring = Ring().take(OLD, 0.0, OVERLAP).take(NEW, 1.0, OVERLAP).swept((), 1000.0).retire(fingerprint(OTHER), 1.0)
    assert set(ring.forgotten(()).first_seen) == {fingerprint(NEW)}


@given(st.lists(st.tuples(st.sampled_from([OLD, NEW, OTHER]), st.floats(0, 1000)), min_size=1, max_size=40))
def test_the_key_of_now_is_always_good(fetched: list[tuple[bytes, float]]) -> None:
    """Whatever was fetched in which order, by whatever clock: the last one is good, and has no end."""
    ring = Ring()
    for secret, now in fetched:
        ring = ring.take(secret, now, OVERLAP)
        assert secret in good(ring, now)
        assert ring.fetched[-1] == FetchedKey(secret)
        assert len({key.secret for key in ring.fetched}) == len(ring.fetched)


def test_the_ring_is_bounded() -> None:
    """However often the key changes, so many are held: each costs every forgery an HMAC."""
    ring = Ring()
    for number in range(100):
        ring = ring.take(b"key-%013d" % number, float(number), 1e6)
    assert [key.secret for key in ring.fetched] == [b"key-%013d" % number for number in range(100 - MAX_FETCHED, 100)]


def test_a_key_that_signed_is_not_driven_out() -> None:
    """An API that gives another key each time takes the overlap of none that deliveries were signed with."""
    ring = Ring(last_used={fingerprint(OLD): 7.0}).take(OLD, 0.0, 1e6)
    for number in range(100):
        ring = ring.take(b"key-%013d" % number, 10.0 + number, 1e6)
    assert OLD in good(ring, 200.0)
    assert len(ring.fetched) == MAX_FETCHED
    ends = [key.retires_at for key in ring.fetched[:-1] if key.retires_at]
    assert ends == sorted(ends)
