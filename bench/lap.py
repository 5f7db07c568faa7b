"""Lap: one contender under a closed loop for some seconds, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import deliveries, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.course import Course

WARM_UP = 3  # seconds
# Deliveries a second to have ready: this many at least, twice the best so far when that is more. A lap that uses
# up its deliveries is void, and on a machine that others use the warm-up may have been the slowest of all.
READY = 25_000


@dataclass(frozen=True, slots=True)
class Lap:
    """What was measured: deliveries answered a second, CPU seconds a delivery, bytes in memory afterwards.

    `stored` is the share of the answers that did not wait for Kafka to the end.
    """

    rate: float
    cpu: float
    memory: int
    stored: float


def run(course: Course, file: Path, *, seconds: int, connections: int) -> Lap:
    """Put a contender under load, wait until all it accepted is published, and divide what that took.

    Raises `RuntimeError` when an answer was not 2xx, or a count does not add up.
    """
    mark = course.mark()
    answered = load.post(course.contender.ports.port, file, seconds=seconds, connections=connections)
    cost = course.settle(mark, answers=answered.answers, under_way=connections)
    return Lap(answered.rate, cost.cpu / cost.records, course.contender.memory, cost.stored)


def warm_up(courses: Sequence[Course], file: Path, *, connections: int) -> float:
    """Run each once, for nothing but the best rate."""
    deliveries.write(file, READY * WARM_UP * 2)
    return max(run(course, file, seconds=WARM_UP, connections=connections).rate for course in courses)


def prepare(file: Path, rate: float, seconds: int) -> None:
    """Write deliveries enough for a lap by whoever was the best so far."""
    deliveries.write(file, int(max(2 * rate, READY) * seconds))
