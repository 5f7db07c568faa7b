"""Overload: what comes of five times the load that the relay can bear.

Where that is what a disk takes, the relay has the time to refuse the rest. Where it is what its core takes, nobody has:
of a load that large the refusals alone take longer than all that could be accepted, and no load generator beside it
on two cores sends as much. Both are measured; what is to be reached is asked of the former.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import deliveries, lap, table, volley
from bench.slow_disk import SYNC
from bench.stage import CONFIG, say
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
SLOW = Path(__file__).with_name("slow_disk.yaml")
IN_FLIGHT = 32  # its `listen.max_in_flight`: as many senders as it never refuses


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
    """Measure both; give the lines of the part."""
    floods = {
        "relay": _floods(stage, "relay", CONFIG, stage.pace.connections),
        "slow disk": _floods(stage, "slow disk", SLOW, IN_FLIGHT),
    }
    yield from table.lines(floods, FIGURES, [])
    yield ""
    yield (
        f"vegeta was asked for {TIMES} times the peak in closed loop, for {SECONDS} s, with at most {WORKERS:,} "
        f"requests under way. The slow disk takes {SYNC * 1e3:.0f} ms more for each sync, and {IN_FLIGHT} deliveries "
        "wait for it at most."
    )
    goals += _goals(floods["slow disk"])


def _floods(stage: Stage, kind: str, config: Path, connections: int) -> list[Flood]:
    """Find the peak, send it, and send five times of it, round by round."""
    file = stage.folder / "deliveries"
    floods: list[Flood] = []
    with ExitStack() as stack:
        course = stage.start(stack, kind, config=config)
        rate = lap.warm_up([course], file, connections=connections)
        for number in range(min(stage.pace.rounds, ROUNDS)):
            lap.prepare(file, rate, SECONDS)
            peak = lap.run(course, file, seconds=SECONDS, connections=connections).rate
            borne = [_attack(stage, course, int(share * peak), LOOKING) for share in BEARABLE]
            flood = _attack(stage, course, int(TIMES * peak), SECONDS)
            best = max(one.goodput for one in (*borne, flood))
            told = f"peak {peak:,.0f}/s, sent {flood.sent:,.0f}/s, accepted {flood.goodput:,.0f}/s"
            say(f"{kind}, round {number + 1}: {told}")
            floods.append(Flood(peak, best, flood))
    return floods


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
