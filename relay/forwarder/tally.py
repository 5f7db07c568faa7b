"""Tally: what each topic has still to publish, wherever it waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.core.model import Record


@dataclass(slots=True)
class Owed:
    """Records, and the bytes of their keys and values."""

    records: int = 0
    size: int = 0


class Tally:
    """Counts records by topic from when they are known until they are settled on disk.

    In memory, on disk or aloft, a record counts once; at start the survey brings in what was pending,
    piece by piece.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._topics: dict[str, Owed] = {}

    def add(self, records: Iterable[Record]) -> None:
        """Count records that are to be published."""
        for record in records:
            owed = self._topics.setdefault(record.topic, Owed())
            owed.records += 1
            owed.size += _size(record)

    def take(self, records: Iterable[Record]) -> None:
        """Count records no more: they are settled."""
        for record in records:
            owed = self._topics.setdefault(record.topic, Owed())
            owed.records -= 1
            owed.size -= _size(record)

    def forget(self, topic: str) -> None:
        """Start anew with a topic of which nothing waits."""
        self._topics.pop(topic, None)

    def of(self, topic: str) -> Owed:
        """Give what a topic has still to publish."""
        return self._topics.get(topic, Owed())


def _size(record: Record) -> int:
    return len(record.key) + len(record.value)
