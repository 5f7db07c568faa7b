"""Table: the laps of a part as a few lines of figures; the ratios are what to quote."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure(Generic[T]):
    """A row: what it is called, how it is read from a lap, and how it is written."""

    name: str
    read: Callable[[T], float]
    form: str = ",.0f"


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio (or figure) of the relay, and what it is to be; without a figure it could not be measured."""

    name: str
    measured: float | None
    bound: float
    at_least: bool = False

    def line(self) -> str:
        """Give a row of a table."""
        word = "at least" if self.at_least else "at most"
        if self.measured is None:
            return f"| {self.name} | {word} {self.bound:g} | void | no |"
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return f"| {self.name} | {word} {self.bound:g} | {self.measured:.2f} | {'yes' if met else 'no'} |"


def lines(
    laps: Mapping[str, Sequence[T]], figures: Sequence[Figure[T]], ratios: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Give a Markdown table: medians of the laps, with least and most; `ratios` name two of the contenders each.

    A ratio is taken within each round, so that what disturbed both falls out of it.
    """
    heads = [*laps, *(f"{over} / {under}" for over, under in ratios)]
    yield f"| | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for figure in figures:
        cells = [spread([figure.read(lap) for lap in each], figure.form) for each in laps.values()]
        cells += [spread(within(laps[over], laps[under], figure.read), ".2f") for over, under in ratios]
        yield f"| {figure.name} | {' | '.join(cells)} |"


def within(over: Sequence[T], under: Sequence[T], read: Callable[[T], float]) -> list[float]:
    """Give the ratio of each round."""
    return [read(ours) / read(theirs) for ours, theirs in zip(over, under, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Write the median, the least and the most."""
    return f"{median(values):{form}} ({min(values):{form}}..{max(values):{form}})"
