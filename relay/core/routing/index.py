"""The index: of all rules those that can match an event, so that a thousand cost little more than one.

A rule is found by one of its conditions: one that asks for certain values, or for texts that begin in
a certain way. Rules that have none are candidates for every event. The index only leaves out what
cannot match; whether a candidate does is for `search` to say.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from relay.core.routing.path import value_at
from relay.core.routing.predicate import AllOf, AnyOf, Glob, OneOf, Prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.core.model import Event, Predicate, Route
    from relay.core.routing.path import Path


class _Anchor(NamedTuple):
    """What holds whenever a condition does: the value at the path is one of these, or begins so.

    The value's first `length` characters are meant, or for None the whole. True and 1 are one value
    here, which finds too many rules and never too few.
    """

    path: Path
    length: int | None
    values: frozenset[object]


class Index:
    """Rules, in order, and where to look for those that an event can match."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Find each rule an anchor, of those it offers the one that it shares with the fewest."""
        offered = [list(_anchors_of(rule)) for rule in routes]
        shared = Counter((path, length, value) for some in offered for path, length, values in some for value in values)
        self._routes = tuple(routes)
        self._always: list[int] = []
        self._found: dict[Path, dict[int | None, dict[object, list[int]]]] = {}
        for number, some in enumerate(offered):
            if not some:
                self._always.append(number)
                continue
            path, length, values = min(some, key=lambda one: sum(shared[one.path, one.length, v] for v in one.values))
            rules = self._found.setdefault(path, {}).setdefault(length, {})
            for value in values:
                rules.setdefault(value, []).append(number)
        self._candidates_of_any = tuple(self._routes[number] for number in self._always)

    def candidates(self, event: Event) -> Sequence[Route]:
        """Give all rules that match the event, and perhaps others, in order; total."""
        found: list[int] = []
        for path, lengths in self._found.items():
            value = value_at(event, path)
            if isinstance(value, dict | list):
                continue  # no predicate with an anchor holds for them, and no look-up takes them
            for length, rules in lengths.items():
                head = value[:length] if length is not None and isinstance(value, str) else value
                found += rules.get(head, ())
        if not found:
            return self._candidates_of_any
        return [self._routes[number] for number in sorted(found + self._always)]


def _anchors_of(rule: Route) -> Iterator[_Anchor]:
    for path, predicate in rule.match:
        yield from _anchors(path, predicate)


def _anchors(path: Path, predicate: Predicate) -> Iterator[_Anchor]:
    match predicate:
        case OneOf(values):
            yield _Anchor(path, None, frozenset(value for _, value in values))
        case Prefix(head) | Glob(head) if head:
            yield _Anchor(path, len(head), frozenset({head}))
        case AllOf(parts):
            for part in parts:
                yield from _anchors(path, part)
        case AnyOf(parts):
            whole = [next((a.values for a in _anchors(path, part) if a.length is None), None) for part in parts]
            found = [values for values in whole if values is not None]
            if len(found) == len(parts):
                yield _Anchor(path, None, frozenset[object]().union(*found))
        case _:
            pass
