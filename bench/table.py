"""Table: the laps of a run as a few lines of figures; the ratios are what to quote."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.lap import Lap

_FIGURES: tuple[tuple[str, Callable[[Lap], float]], ...] = (
    ("deliveries a second", lambda lap: lap.rate),
    ("CPU us a delivery", lambda lap: lap.cpu * 1e6),
    ("memory, MB", lambda lap: lap.memory / 1e6),
)


def lines(plain: Sequence[Lap], relay: Sequence[Lap]) -> Iterator[str]:
    """Give a Markdown table: medians of the laps, with least and most.

    A ratio is taken within each round, so that what disturbed both falls out of it.
    """
    yield "| | plain | relay | relay / plain |"
    yield "|---|---|---|---|"
    for name, figure in _FIGURES:
        ours, theirs = [figure(lap) for lap in relay], [figure(lap) for lap in plain]
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        yield f"| {name} | {_spread(theirs, ',.0f')} | {_spread(ours, ',.0f')} | {_spread(ratios, '.2f')} |"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}..{max(values):{form}})"
