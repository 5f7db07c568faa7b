"""Ring: the last rejected requests of each source, so that a flood on one washes away nothing of another."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.rejected.rejection import Rejection

COUNT = 50
BYTES = 1 << 20


class Ring:
    """Holds `count` rejected requests of `size` bytes together, for each source; the oldest leave."""

    def __init__(self, count: int = COUNT, size: int = BYTES) -> None:
        """Begin empty."""
        self._count, self._size = count, size
        self._kept: dict[str | None, deque[Rejection]] = {}

    def __iter__(self) -> Iterator[Rejection]:
        """Give all of them in the order in which they came."""
        return iter(sorted((one for kept in self._kept.values() for one in kept), key=lambda one: one.at))

    def add(self, rejection: Rejection) -> None:
        """Take one in."""
        kept = self._kept.setdefault(rejection.source, deque(maxlen=self._count))
        kept.append(rejection)
        while sum(one.weight for one in kept) > self._size:
            kept.popleft()
