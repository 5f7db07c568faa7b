"""RecentIds: which of the last so many ids were seen, in flat memory."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HASH_BYTES = 8


class RecentIds:
    """Finds the delivery numbers under which an id may have been accepted, among the last `capacity`.

    A ring holds the hash of each of the last `capacity` numbers, which must come without gaps; an
    open-addressed table (linear probing) finds a hash's places in the ring. An id that leaves the
    horizon is taken out by shifting its neighbours back, so no tombstones gather. 16 to 24 bytes an
    id, against more than a hundred in a dict.

    A hash is 64 bits: a hit is only a candidate, which the caller confirms against the file.
    """

    def __init__(self, capacity: int) -> None:
        """Hold the last `capacity` ids (at least one)."""
        self._capacity = capacity
        slots = 1 << (2 * capacity - 1).bit_length()
        self._mask = slots - 1
        self._ring = array("Q", bytes(8 * capacity))
        self._table = array("I", bytes(4 * slots))  # place in the ring + 1; 0 is empty
        self._last = -1
        self._count = 0

    def __len__(self) -> int:
        """Count the ids remembered."""
        return self._count

    @property
    def oldest(self) -> int | None:
        """The oldest number remembered: the horizon. None when there is none."""
        return self._last - self._count + 1 if self._count else None

    def fill(self, first: int, hashes: bytes) -> None:
        """Remember the numbers from `first` on, behind those known: `hashes` has the hash of each, oldest first."""
        self._follow(first)
        keys = array("Q", hashes[-HASH_BYTES * self._capacity :])
        if sys.byteorder == "little":
            keys.byteswap()
        last = first + len(hashes) // HASH_BYTES - 1
        self.forget(last - self._capacity + 1)
        self._last, self._count = last, self._count + len(keys)
        ring, table, mask, capacity = self._ring, self._table, self._mask, self._capacity
        place = (last - len(keys) + 1) % capacity
        for key in keys:
            ring[place] = key
            slot = key & mask
            while table[slot]:
                slot = (slot + 1) & mask
            place += 1
            table[slot] = place
            if place == capacity:
                place = 0

    def add(self, number: int, digest: bytes) -> None:
        """Remember that `number` has the id with this digest; forget the one that leaves the horizon."""
        self._follow(number)
        place = number % self._capacity
        if self._count == self._capacity:
            self._forget(place)
        else:
            self._count += 1
        self._last = number
        key = int.from_bytes(digest[:HASH_BYTES])
        self._ring[place] = key
        slot = key & self._mask
        while self._table[slot]:
            slot = (slot + 1) & self._mask
        self._table[slot] = place + 1

    def may_have(self, digest: bytes) -> bool:
        """Tell whether `find` would give any number."""
        return next(self.find(digest), None) is not None

    def forget(self, before: int) -> None:
        """Forget the numbers under `before`."""
        while self._count and self._last - self._count + 1 < before:
            self._forget((self._last - self._count + 1) % self._capacity)
            self._count -= 1

    def find(self, digest: bytes) -> Iterator[int]:
        """Give the numbers that may have the id with this digest, in no particular order."""
        key = int.from_bytes(digest[:HASH_BYTES])
        slot = key & self._mask
        while found := self._table[slot]:
            if self._ring[found - 1] == key:
                yield self._last - (self._last - (found - 1)) % self._capacity
            slot = (slot + 1) & self._mask

    def _follow(self, number: int) -> None:
        if self._count and number != self._last + 1:
            msg = f"numbers must come without gaps: {number} after {self._last}"
            raise ValueError(msg)

    def _forget(self, place: int) -> None:
        table, ring, mask = self._table, self._ring, self._mask
        hole = ring[place] & mask
        while table[hole] != place + 1:
            hole = (hole + 1) & mask
        slot = (hole + 1) & mask
        while found := table[slot]:
            home = ring[found - 1] & mask
            # The entry may move back into the hole unless its home lies between the two.
            if (slot - home) & mask >= (slot - hole) & mask:
                table[hole] = found
                hole = slot
            slot = (slot + 1) & mask
        table[hole] = 0
