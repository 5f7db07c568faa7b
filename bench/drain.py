"""Drain: how fast the relay publishes what gathered while Kafka did not answer, beside what it takes in."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench import lap, load, table
from bench.stage import say
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.course import Course
    from bench.stage import Stage

ROUNDS = 2  # at most
INTAKE = 4  # seconds
# Seconds for which Kafka is frozen. Less than `kafka.request_timeout`, as what is measured is draining, not noticing.
FROZEN = 6
PATIENCE = 120.0
LOOK = 0.02  # seconds between two looks at the topic


@dataclass(frozen=True, slots=True)
class Drain:
    """A round: deliveries taken in a second, those that gathered, and records published a second afterwards."""

    intake: float
    backlog: int
    rate: float


FIGURES: tuple[Figure[Drain], ...] = (
    Figure("intake a second, Kafka there", lambda one: one.intake),
    Figure("backlog, deliveries", lambda one: one.backlog),
    Figure("drained a second", lambda one: one.rate),
    Figure("drain / intake", lambda one: one.rate / one.intake, ".2f"),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Take in, freeze Kafka, gather, let it go on, drain; round by round. Give the lines of the part."""
    pace, file = stage.pace, stage.folder / "deliveries"
    rounds: list[Drain] = []
    with ExitStack() as stack:
        there, frozen = stage.start(stack, "relay"), stage.start(stack, "relay", ack="stored")
        rate = lap.warm_up([there, frozen], file, connections=pace.connections)
        for number in range(min(pace.rounds, ROUNDS)):
            lap.prepare(file, rate, INTAKE)
            intake = lap.run(there, file, seconds=INTAKE, connections=pace.connections).rate
            lap.prepare(file, rate, FROZEN)
            backlog, drained = _drain(stage, frozen, file)
            say(f"round {number + 1}: intake {intake:,.0f}/s, backlog {backlog:,}, drained {drained:,.0f}/s")
            rounds.append(Drain(intake, backlog, drained))
    yield from table.lines({"relay": rounds}, FIGURES, [])
    goals.append(Goal("drain of a backlog, of the intake", median(map(FIGURES[-1].read, rounds)), 3, at_least=True))


def _drain(stage: Stage, course: Course, file: Path) -> tuple[int, float]:
    """Gather a backlog and let it drain; give how many, and the records a second from the first to the last."""
    (node,) = stage.cluster.nodes
    connections = stage.pace.connections
    mark = course.mark()
    stage.cluster.pause(node)
    try:
        answered = load.post(course.contender.ports.port, file, seconds=FROZEN, connections=connections)
    finally:
        stage.cluster.resume(node)
    seconds = _time(course, mark.records, answered.answers)
    cost = course.settle(mark, answers=answered.answers, under_way=connections)
    return cost.records, cost.records / seconds


def _time(course: Course, before: int, count: int) -> float:
    """Wait until all is published and settled; give the seconds since the last look that showed none."""
    began = time.monotonic()
    deadline = began + PATIENCE
    while (records := course.records()) - before < count:
        if records == before:
            began = time.monotonic()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{records - before} of {count} were published in {PATIENCE:g} s")
        time.sleep(LOOK)
    while (now := course.ledger()) and now.pending:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{now.pending} are not settled after {PATIENCE:g} s")
        time.sleep(LOOK)
    return time.monotonic() - began
