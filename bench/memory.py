"""Memory: what a million deliveries pending and a million ids cost, and how soon the relay is ready with them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import backlog, lap, load, table
from bench.stage import CONFIG, say
from bench.start import LOOK, STARTING, ready
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.course import Course
    from bench.stage import Stage

COUNT = 1_000_000
TAKING = 4  # seconds of new deliveries
DRAINING = 10  # seconds of nothing but publishing


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until it was ready, and the bytes it had in memory then."""

    seconds: float
    memory: int


FIGURES: tuple[Figure[Start], ...] = (
    Figure("ready, s", lambda start: start.seconds, ".2f"),
    Figure("memory when ready, MB", lambda start: start.memory / 1e6),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Start on an empty spool and on a full one, then take in and drain; give the lines of the part."""
    with ExitStack() as stack:
        empty, full = stage.prepare(stack, "relay"), stage.prepare(stack, "relay")
        say(f"writing {COUNT:,} deliveries")
        backlog.write(CONFIG, full.variables, COUNT)
        size = Path(full.variables["BENCH_FOLDER"], "spool.db").stat().st_size
        starts = _starts(stage, {"empty": empty, "full": full})
        most, rate, taken = _work(stage, full)
    yield from table.lines(starts, FIGURES, [("full", "empty")])
    more = median(start.memory for start in starts["full"]) - median(start.memory for start in starts["empty"])
    yield ""
    yield (
        f"`full`: {COUNT:,} deliveries pending in a spool of {size / 1e9:.2f} GB, as many ids remembered, Kafka "
        f"frozen: {more / COUNT:.1f} bytes of memory more for each (room for the ids is partly taken from the start). "
        f"It then took {taken:,.0f} new ones a second, Kafka still frozen, drained {rate:,.0f} a second once Kafka "
        f"went on, and took new ones meanwhile; at most it had {most / 1e6:.0f} MB."
    )
    goals.append(Goal("MB of memory at most, a million pending and remembered", most / 1e6, 220))
    goals.append(Goal("seconds until ready, likewise", median(start.seconds for start in starts["full"]), 1))


def _starts(stage: Stage, courses: dict[str, Course]) -> dict[str, list[Start]]:
    """Start each in turn while Kafka does not answer, and kill it when it is ready."""
    (node,) = stage.cluster.nodes
    starts: dict[str, list[Start]] = {name: [] for name in courses}
    stage.cluster.pause(node)
    try:
        for number in range(stage.pace.rounds):
            for name, course in courses.items():
                with course.contender as contender:
                    start = Start(ready(course), contender.memory)
                    contender.kill()
                say(f"round {number + 1}: {name} ready in {start.seconds:.2f} s, {start.memory / 1e6:.0f} MB")
                starts[name].append(start)
    finally:
        stage.cluster.resume(node)
    return starts


def _work(stage: Stage, course: Course) -> tuple[int, float, float]:
    """Take in with Kafka frozen, drain, take in while draining; give most memory, drain rate and intake rate.

    Raises `RuntimeError` when the relay accepted another number than it answered, or anything had another outcome.
    """
    (node,) = stage.cluster.nodes
    connections, file = stage.pace.connections, stage.folder / "deliveries"
    lap.prepare(file, 0, TAKING)
    stage.cluster.pause(node)
    try:
        with course.contender as contender:
            ready(course)
            before = course.ledger()
            frozen = load.post(contender.ports.port, file, seconds=TAKING, connections=connections)
            stage.cluster.resume(node)
            rate = _rate(course)
            lap.prepare(file, 0, TAKING)
            going = load.post(contender.ports.port, file, seconds=TAKING, connections=connections)
            now, most = course.ledger(), contender.most_memory
            contender.kill()
    finally:
        stage.cluster.resume(node)
    answers = frozen.answers + going.answers
    if not (before and now and answers <= now.accepted - before.accepted <= answers + 2 * connections):
        raise RuntimeError(f"{answers} answers, but the relay counts {before} before and {now} after them")
    if now.other != before.other:
        raise RuntimeError(f"{now.other - before.other} deliveries had another outcome")
    return most, rate, frozen.rate


def _rate(course: Course) -> float:
    """Wait for the first record, and count those of the next seconds; give records a second."""
    began = time.monotonic()
    before = course.records()
    while (first := course.records()) == before:
        if time.monotonic() - began > STARTING:
            raise RuntimeError(f"nothing was published after {STARTING:g} s")
        time.sleep(LOOK)
    began = time.monotonic()
    time.sleep(DRAINING)
    return (course.records() - first) / (time.monotonic() - began)
