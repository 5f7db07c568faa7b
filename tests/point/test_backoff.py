"""How long the API is left alone after a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.point import backoff

FAILURES = st.integers(1, 10**6)
LONGEST = st.floats(1.0, 3600.0)
JITTER = st.floats(0.0, 1.0)


@given(FAILURES, LONGEST, JITTER)
def test_it_is_never_at_once_and_never_too_long(failures: int, longest: float, jitter: float) -> None:
    """At least a second, at most the longest, however often it failed."""
    assert 1.0 <= backoff(failures, longest, None, jitter) <= longest


def test_it_grows() -> None:
    """Each failure doubles what it may be, up to the longest; with a shorter longest it is that."""
    assert [backoff(failures, 300.0, None, 1.0) for failures in range(1, 12)] == [
        2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300,
    ]  # fmt: skip
    assert [backoff(failures, 5.0, None, 1.0) for failures in range(1, 5)] == [2, 4, 5, 5]
    assert backoff(10**6, 3600.0, None, 1.0) == 1024


def test_it_is_spread_over_all_of_it() -> None:
    """Those who failed together return at any time from a second on."""
    assert [backoff(5, 300.0, None, jitter) for jitter in (0.0, 0.25, 0.5, 1.0)] == [1.0, 8.75, 16.5, 32.0]


@given(FAILURES, LONGEST, st.floats(0.0, 3600.0), JITTER)
def test_it_is_as_long_as_the_other_side_asks(failures: int, longest: float, asked: float, jitter: float) -> None:
    """A Retry-After is waited for, also beyond the longest; a shorter one shortens nothing."""
    assert backoff(failures, longest, asked, jitter) == max(asked, backoff(failures, longest, None, jitter))
