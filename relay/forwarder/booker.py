"""Booker: the lanes' journals in the commits that bring their deliveries to disk."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from relay.lane import Fresh

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from relay.core.model import Record
    from relay.lane import Lane
    from relay.spool import Journal, Journalled

log = structlog.get_logger()


class Booker:
    """Asks the lanes concerned to book what a commit brings, and tells them what came of it; see `relay.spool.Booker`.

    Between `draw` and what follows it the lanes stay the same: one that has booked does not end. A fault in one lane
    holds back neither the commit nor the others.
    """

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        """Book for the lanes that are open, by topic."""
        self._lanes = lanes
        self._drawn: list[Lane] = []

    def draw(self, fresh: Sequence[tuple[int, Sequence[Record]]]) -> Sequence[Journal]:
        """Give the journals of the lanes that book."""
        self._drawn, journals = [], []
        for topic, records in self._by_topic(fresh).items():
            lane = self._lanes[topic]
            with _guarded(lane):
                if journal := lane.draw(records):
                    journals.append(journal)
                    self._drawn.append(lane)
        return journals

    def adopt(self, journalled: Sequence[Journalled]) -> None:
        """Tell the lanes that booked that it is on disk."""
        for lane, answer in zip(self._drawn, journalled, strict=True):
            with _guarded(lane):
                lane.adopt(answer)

    def discard(self) -> None:
        """Tell the lanes that booked that it is not."""
        for lane in self._drawn:
            lane.discard()

    def _by_topic(self, fresh: Sequence[tuple[int, Sequence[Record]]]) -> Mapping[str, list[Fresh]]:
        topics: dict[str, list[Fresh]] = {}
        for number, records in fresh:
            for record in records:
                if record.topic in self._lanes:
                    topics.setdefault(record.topic, []).append(Fresh(number, record))
        return topics


@contextmanager
def _guarded(lane: Lane) -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("lane.broken", topic=lane.topic)
