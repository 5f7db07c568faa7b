"""Overload: what comes of five times the load that the relay can bear."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench import deliveries, lap, table, volley
from bench.stage import say
from bench.table import Figure, Goal
from bench.volley import Volley, latency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.course import Course
    from bench.stage import Stage

TIMES = 5
ENOUGH = 4  # times the peak that must really have been sent
ROUNDS = 2  # at most
SECONDS = 5
BEARABLE = (0.75, 1)  # shares of wrk's peak, among which the peak in open loop is looked for
LOOKING = 3  # seconds for each
# Requests under way at once, each on a connection of its own: more than twice `listen.max_in_flight`. Of many more
# the connections alone would take the relay longer to accept than the load lasts.
WORKERS = 2_500


@dataclass(frozen=True, slots=True)
class Flood:
    """A round: the peak that wrk found, the most that was accepted a second from vegeta, and the flood.

    vegeta takes more of the shared cores than wrk, so that the two peaks differ.
    """

    peak: float
    best: float
    flood: Volley


FIGURES: tuple[Figure[Flood], ...] = (
    Figure("peak in closed loop, a second", lambda one: one.peak),
    Figure("peak in open loop, a second", lambda one: one.best),
    Figure("sent, a second", lambda one: one.flood.sent),
    Figure("sent / peak in closed loop", lambda one: one.flood.sent / one.peak, ".2f"),
    Figure("accepted, a second", lambda one: one.flood.goodput),
    Figure("accepted / peak in closed loop", lambda one: one.flood.goodput / one.peak, ".2f"),
    Figure("accepted / peak in open loop", lambda one: one.flood.goodput / one.best, ".2f"),
    Figure("accepted, p50, ms", lambda one: _ms(one.flood.accepted, 0.5)),
    Figure("accepted, p99, ms", lambda one: _ms(one.flood.accepted, 0.99)),
    Figure("429 and 503, share", lambda one: len(one.flood.refused) / len(one.flood.answers), ".1%"),
    Figure("429 and 503, p50, ms", lambda one: _ms(one.flood.refused, 0.5)),
    Figure("429 and 503, p99, ms", lambda one: _ms(one.flood.refused, 0.99)),
    Figure("429 and 503 without Retry-After", lambda one: sum(map(_unasked, one.flood.refused))),
    Figure("no answer, or another", lambda one: one.flood.broken),
)
ROWS = {figure.name: figure.read for figure in FIGURES}


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Find the peak, send it, and send five times of it, round by round; give the lines of the part."""
    pace, file = stage.pace, stage.folder / "deliveries"
    floods: list[Flood] = []
    with ExitStack() as stack:
        course = stage.start(stack, "relay")
        rate = lap.warm_up([course], file, connections=pace.connections)
        for number in range(min(pace.rounds, ROUNDS)):
            lap.prepare(file, rate, SECONDS)
            peak = lap.run(course, file, seconds=SECONDS, connections=pace.connections).rate
            borne = [_attack(stage, course, int(share * peak), LOOKING) for share in BEARABLE]
            flood = _attack(stage, course, int(TIMES * peak), SECONDS)
            best = max(one.goodput for one in (*borne, flood))
            say(f"round {number + 1}: peak {peak:,.0f}/s, sent {flood.sent:,.0f}/s, accepted {flood.goodput:,.0f}/s")
            floods.append(Flood(peak, best, flood))
    yield from table.lines({"relay": floods}, FIGURES, [])
    yield ""
    yield (
        f"vegeta was asked for {TIMES} times the peak in closed loop, for {SECONDS} s, with at most {WORKERS:,} "
        f"requests under way."
    )
    goals += _goals(floods)


def _goals(floods: list[Flood]) -> list[Goal]:
    """Give what was reached, of rounds that were an overload and brought refusals; without any it is void."""
    real = [one for one in floods if one.flood.sent >= ENOUGH * one.peak and one.flood.refused]

    def middle(row: str) -> float | None:
        return median(map(ROWS[row], real)) if real else None

    goodput = middle("accepted / peak in open loop")
    return [
        Goal("goodput under overload, of the peak in open loop", goodput, 0.8, at_least=True),
        Goal("ms until 99 % of the 429 and 503", middle("429 and 503, p99, ms"), 50),
        Goal("429 and 503 without Retry-After", middle("429 and 503 without Retry-After"), 0),
        Goal("no answer under overload, or another", middle("no answer, or another"), 0),
    ]


def _attack(stage: Stage, course: Course, rate: int, seconds: int) -> Volley:
    targets = stage.folder / "targets"
    deliveries.write_targets(targets, rate * seconds, course.contender.ports.port)
    mark = course.mark()
    fired = volley.attack(targets, rate=rate, seconds=seconds, workers=WORKERS)
    # What broke may have been accepted or refused before it did.
    refused = range(len(fired.refused), len(fired.refused) + fired.broken + 1)
    course.settle(mark, answers=len(fired.accepted), under_way=fired.broken, refused=refused)
    return fired


def _ms(answers: list[volley.Answer], share: float) -> float:
    return latency(answers, share) * 1e3 if answers else 0.0


def _unasked(answer: volley.Answer) -> int:
    return "Retry-After" not in (answer.headers or {})
