"""Counters: the totals of a spool held against what the relay that runs on it has counted."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.metrics import ACCEPTED, DEAD, DROPPED, MIRRORED, PENDING, PUBLISHED, REPLAYED, WITHDRAWN, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.spool import Tally

ATTEMPTS = 20
PAUSE = 0.25  # seconds: a metric follows its commit within milliseconds


@dataclass(frozen=True, slots=True)
class Counters:
    """What the relay counted since it was started, and the bounds that the spool's totals set, by name.

    The metrics count from the start of the process, so the totals as of its start are taken off. They
    are read once before the scrape and once after it: a metric that lies between is right.
    """

    counted: dict[str, int]
    bounds: dict[str, tuple[int, int]]

    def faults(self) -> Iterator[str]:
        """Give a sentence for each metric that says something else than the spool."""
        for name, (least, most) in self.bounds.items():
            if not least <= self.counted[name] <= most:
                due = str(least) if least == most else f"between {least} and {most}"
                yield f"the metrics count {self.counted[name]} {name}, the spool {due}"


def compare(tally: Callable[[], Tally], scrape: Callable[[], str]) -> Counters | None:
    """Compare, and again while they differ, for some seconds: a metric may be a moment behind its commit.

    `scrape` gives the page of metrics. None when no relay was ever started on the spool, or relays come and
    go meanwhile. Raises what the two raise.
    """
    counters = None
    for _ in range(ATTEMPTS):
        before = tally()
        counted = _counted(scrape())
        after = tally()
        if before.started and before.started == after.started:
            counters = Counters(counted, _bounds(before, after))
            if not any(counters.faults()):
                return counters
        time.sleep(PAUSE)
    return counters


def _counted(page: str) -> dict[str, int]:
    sums: defaultdict[str, float] = defaultdict(float)
    for sample in read_page(page):
        sums[sample.name] += sample.value
    # A withdrawn dead letter is dropped in the spool, and goes on counting as dead in the metrics.
    metrics = {
        "accepted": sums[ACCEPTED.name] + sums[REPLAYED.name] + sums[MIRRORED.name],
        "published": sums[PUBLISHED.name],
        "dead": sums[DEAD.name] - sums[WITHDRAWN.name],
        "dropped": sums[DROPPED.name] + sums[WITHDRAWN.name],
        "pending": sums[PENDING.name],
    }
    return {name: int(value) for name, value in metrics.items()}


def _bounds(before: Tally, after: Tally) -> dict[str, tuple[int, int]]:
    start, first, last = before.started or before.now, before.now, after.now
    bounds = {
        name: _between(getattr(first, name) - getattr(start, name), getattr(last, name) - getattr(start, name))
        for name in ("accepted", "published", "dead", "dropped")
    }
    least, most = first.accepted - last.settled - last.lost, last.accepted - first.settled - first.lost
    return bounds | {"pending": (least, most)}


def _between(one: int, other: int) -> tuple[int, int]:
    """Put two counts in order: of dead ones there may be fewer later on."""
    return min(one, other), max(one, other)
