"""Pace: when the key may be fetched. Pure: times, in seconds of any clock that only goes on, are handed in."""

from __future__ import annotations

from dataclasses import dataclass

from relay.point import backoff

GAPS = (1.0, 2.0)
"""Seconds until a fetch that signatures ask for, the more of those brought no new key.

None is longer than a request waits, less a second for the fetch itself: so a delivery under a new key waits for the
fetch that brings it, however long others have failed, if there is room among those who wait. Longer gaps would let a
forger, or one sender with another key, break every rotation, and save little: while forgeries last, Syskit Point is
asked thirty times a minute.
"""

QUIET = 60.0  # seconds without a fetch that was asked for, after which the gaps are small again
MAX_BACKOFF = 60.0


@dataclass(slots=True)
class Pace:
    """`due` is when the next fetch begins by itself, `soonest` when one may begin that is asked for.

    The first gap is the shorter one, as those who wait for its end are bounded in number.
    """

    every: float
    due: float = 0.0
    soonest: float = 0.0
    failures: int = 0
    _began: float = 0.0
    _asked: bool = False
    _asked_at: float = -QUIET
    _useless: int = 0

    def begin(self, now: float, *, asked: bool) -> None:
        """Begin a fetch, which is asked for or due by itself: those of the interval do not count as useless."""
        if now - self._asked_at >= QUIET:
            self._useless = 0
        self._began, self._asked = now, asked
        if asked:
            self._asked_at = now

    def succeeded(self, *, changed: bool) -> None:
        """End it with a key, which is another one than before or not."""
        self.failures = 0
        self.soonest = self._began + GAPS[min(self._useless, len(GAPS) - 1)]
        self._useless = 0 if changed else self._useless + self._asked
        self.due = self._began + self.every

    def failed(self, now: float, retry_after: float | None, jitter: float) -> None:
        """End it without one: wait as long as the other side asks, or ever longer; `jitter` is from 0 to 1."""
        self.failures += 1
        self.soonest = self.due = now + backoff(self.failures, min(MAX_BACKOFF, self.every), retry_after, jitter)

    def ask(self, now: float) -> None:
        """Let a person who asks for a fetch not wait."""
        self.soonest = min(self.soonest, now)
