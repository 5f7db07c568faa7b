"""Throughput: what each contender takes at saturation, and what a delivery costs it."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

from bench import lap, table
from bench.stage import say
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.lap import Lap
    from bench.stage import Stage

FIGURES: tuple[Figure[Lap], ...] = (
    Figure("deliveries a second", lambda one: one.rate),
    Figure("CPU us a delivery", lambda one: one.cpu * 1e6),
    Figure("memory, MB", lambda one: one.memory / 1e6),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Measure all contenders in turn; give the lines of the part."""
    laps = _laps(stage)
    yield from table.lines(laps, FIGURES, [("relay", "plain"), ("relay", "bare")])
    stored = sum(one.stored for one in laps["relay"]) / len(laps["relay"])
    yield ""
    yield f"{stage.pace.connections} connections. {stored:.1%} of the relay's answers said `stored`."
    rate, cpu, _ = (median(table.within(laps["relay"], laps["plain"], figure.read)) for figure in FIGURES)
    goals.append(Goal("throughput at saturation, of the plain service's", rate, 0.9, at_least=True))
    goals.append(Goal("CPU a delivery, of the plain service's", cpu, 1.2))


def _laps(stage: Stage) -> dict[str, list[Lap]]:
    """Warm up and measure round by round; the order turns round with each. Gives the laps by contender."""
    pace, file = stage.pace, stage.folder / "deliveries"
    with ExitStack() as stack:
        courses = [stage.start(stack, kind) for kind in ("bare", "plain", "relay")]
        laps: dict[str, list[Lap]] = {course.contender.name: [] for course in courses}
        rate = lap.warm_up(courses, file, connections=pace.connections)
        for number in range(pace.rounds):
            lap.prepare(file, rate, pace.seconds)
            for course in courses:
                one = lap.run(course, file, seconds=pace.seconds, connections=pace.connections)
                name = course.contender.name
                say(f"round {number + 1}: {name} {one.rate:,.0f}/s, {one.cpu * 1e6:.0f} us, stored {one.stored:.1%}")
                laps[name].append(one)
                rate = max(rate, one.rate)
            courses.reverse()
    return laps
