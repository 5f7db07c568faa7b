"""Latency: how long answers take at a thousand deliveries a second, whatever the answers do."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench import deliveries, table, volley
from bench.stage import say
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.course import Course
    from bench.stage import Stage

RATE = 1000
WARM_UP = 2  # seconds
WORKERS = 2000  # two seconds of requests without an answer
KEPT = 0.99  # the share of the rate that vegeta must have kept
LATE = 0.02  # seconds; where 99 % of the requests did not leave within them, the machine was at something else


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds within which half, 99 and 99.9 % of the answers came, the last one, and how late vegeta sent 99 %."""

    p50: float
    p99: float
    p999: float
    most: float
    late: float


FIGURES: tuple[Figure[Times], ...] = (
    Figure("p50, ms", lambda times: times.p50 * 1e3, ".2f"),
    Figure("p99, ms", lambda times: times.p99 * 1e3, ".2f"),
    Figure("p99.9, ms", lambda times: times.p999 * 1e3, ".2f"),
    Figure("slowest, ms", lambda times: times.most * 1e3, ".2f"),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Measure all contenders in turn; give the lines of the part."""
    times = _rounds(stage)
    yield from table.lines(times, FIGURES, [("relay", "plain"), ("relay", "bare")])
    late = max(one.late for each in times.values() for one in each)
    yield ""
    yield (
        f"{RATE:,} deliveries a second in open loop, {stage.pace.seconds * RATE:,} of each contender in a round. "
        f"In the worst of them vegeta sent 99 % of its requests at most {late * 1e3:.1f} ms late."
    )
    pairs = zip(times["relay"], times["plain"], strict=True)
    ratios = [ours.p99 / theirs.p99 for ours, theirs in pairs if max(ours.late, theirs.late) <= LATE]
    goals.append(Goal(f"p99 at {RATE:,} a second, of the plain service's", median(ratios) if ratios else None, 2))


def _rounds(stage: Stage) -> dict[str, list[Times]]:
    with ExitStack() as stack:
        courses = [stage.start(stack, kind) for kind in ("bare", "plain", "relay")]
        times: dict[str, list[Times]] = {course.contender.name: [] for course in courses}
        for course in courses:
            _volley(stage, course, WARM_UP, kept=0)
        for number in range(stage.pace.rounds):
            for course in courses:
                one = _volley(stage, course, stage.pace.seconds)
                name = course.contender.name
                say(f"round {number + 1}: {name} p50 {one.p50 * 1e3:.2f} ms, p99 {one.p99 * 1e3:.2f} ms")
                times[name].append(one)
            courses.reverse()
    return times


def _volley(stage: Stage, course: Course, seconds: int, kept: float = KEPT) -> Times:
    """Attack once. Raises `RuntimeError` when vegeta did not keep its rate, or an answer was not 202."""
    targets = stage.folder / "targets"
    deliveries.write_targets(targets, RATE * seconds, course.contender.ports.port)
    mark = course.mark()
    fired = volley.attack(targets, rate=RATE, seconds=seconds, workers=WORKERS)
    # Its last request may fall behind the end of its time.
    if len(fired.answers) < kept * RATE * seconds or fired.sent < kept * RATE:
        raise RuntimeError(f"vegeta sent {len(fired.answers)} requests, {fired.sent:.0f} a second, not {RATE}")
    if len(fired.accepted) != len(fired.answers):
        raise RuntimeError(f"{course.contender.name}: only {len(fired.accepted)} of {len(fired.answers)} were accepted")
    course.settle(mark, answers=len(fired.accepted))
    p50, p99, p999, most = (volley.latency(fired.accepted, share) for share in (0.5, 0.99, 0.999, 1))
    return Times(p50, p99, p999, most, fired.late(0.99))
