"""Bucket: how often something may happen, at once and in the long run. The clock is handed in, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Bucket:
    """Holds `burst` tokens at most, and gains `rate` of them a second."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        """Begin full."""
        self._rate, self._burst = rate, burst
        self._tokens, self._at = float(burst), now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._fill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def is_full(self, now: float) -> bool:
        """Tell whether nothing is missing, so that a new one would be the same."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._rate)
        self._at = now


class Buckets:
    """A bucket for each name, for so many names at once: those beyond share one.

    Full buckets are forgotten when there is no room, which changes nothing. So whoever comes under ever new names
    drives out nobody, and soon shares one bucket with all others of the kind.
    """

    def __init__(self, rate: float, burst: int, names: int) -> None:
        """Make each with `rate` and `burst`; remember at most `names`."""
        self._rate, self._burst, self._names = rate, burst, names
        self._known: dict[Hashable, Bucket] = {}
        self._shared: Bucket | None = None
        self._swept_at = float("-inf")

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def take(self, name: Hashable, now: float) -> bool:
        """Take one token from the bucket of a name; False when there is none."""
        bucket = self._known.get(name)
        if bucket is None:
            bucket = self._made(name, now)
        return bucket.take(now)

    def _made(self, name: Hashable, now: float) -> Bucket:
        if len(self._known) >= self._names and now - self._swept_at >= 1.0:  # seldom: it looks at all of them
            self._swept_at = now
            self._known = {known: bucket for known, bucket in self._known.items() if not bucket.is_full(now)}
        if len(self._known) < self._names:
            return self._known.setdefault(name, Bucket(self._rate, self._burst, now))
        if self._shared is None:
            self._shared = Bucket(self._rate, self._burst, now)
        return self._shared
