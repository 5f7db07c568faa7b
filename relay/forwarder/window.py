"""Window: the deliveries committed last, in memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.lane import Committed


class Window:
    """Committed deliveries, every pending one from the first here to the last, bounded in bytes.

    Nothing is lost when one leaves: it is on disk, and the cursors that had not reached it read it
    from there. `last` is the number of the delivery that was told to the window last; at first, of the
    last one on disk.
    """

    def __init__(self, max_bytes: int, last: int = 0) -> None:
        """Start empty, after delivery `last`: all that is older is on disk only."""
        self.last = last
        self.size = 0
        self._max_bytes = max_bytes
        self._entries: deque[Committed] = deque()
        self._by_number: dict[int, Committed] = {}

    @property
    def first(self) -> int:
        """The oldest number in the window, or the next one to come when it is empty."""
        return self._entries[0].number if self._entries else self.last + 1

    def __len__(self) -> int:
        """Count the deliveries in the window."""
        return len(self._entries)

    def find(self, number: int) -> Committed | None:
        """Find a delivery that is still in the window."""
        return self._by_number.get(number)

    def add(self, committed: Committed) -> list[Committed]:
        """Take in the newest delivery; give those that had to leave for it, oldest first."""
        self._entries.append(committed)
        self._by_number[committed.number] = committed
        self.size += committed.size
        self.last = committed.number
        gone = []
        while self.size > self._max_bytes and len(self._entries) > 1:
            gone.append(self._leave())
        return gone

    def trim(self) -> None:
        """Let go of the oldest ones that have come to their end on disk."""
        while self._entries and self._entries[0].settled:
            self._leave()

    def _leave(self) -> Committed:
        committed = self._entries.popleft()
        del self._by_number[committed.number]
        self.size -= committed.size
        return committed
