"""The index: of all rules those that can match an event, so that a thousand cost little more than one.

A rule is found by one of its conditions: one that asks for certain values, or for texts that begin, end or go
in a certain way. Rules that have none are candidates for every event. The index only leaves out what
cannot match; whether a candidate does is for `search` to say.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from relay.core.routing.path import value_at
from relay.core.routing.predicate import AllOf, AnyOf, Glob, OneOf, Prefix, Suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.core.model import Event, Predicate, Route
    from relay.core.routing.path import Path


LONG = 1_000  # characters; in a longer value no pieces are looked for, and all rules that ask for one are candidates


class Place(enum.Enum):
    """Where in a value an anchor's text stands."""

    WHOLE = enum.auto()
    HEAD = enum.auto()
    TAIL = enum.auto()
    MIDDLE = enum.auto()


class _Anchor(NamedTuple):
    """What holds whenever a condition does: one of these values stands at that place of the value at the path.

    Each is `length` long, or, for the whole, anything. True and 1 are one value here, which finds too
    many rules and never too few.
    """

    path: Path
    place: Place
    length: int
    values: frozenset[object]


class _Shelf:
    """The rules whose anchors are at one path, by the value there, and by what stands at a place of its text."""

    def __init__(self) -> None:
        """Start with none."""
        self._rules: dict[Place, dict[int, dict[object, list[int]]]] = {place: {} for place in Place}

    def add(self, number: int, anchor: _Anchor) -> None:
        """Let a rule be found by its anchor."""
        rules = self._rules[anchor.place].setdefault(anchor.length, {})
        for value in anchor.values:
            rules.setdefault(value, []).append(number)

    def find(self, value: object) -> list[int]:
        """Give the rules of which an anchor stands in a value, and perhaps others."""
        if isinstance(value, (dict, list)):
            return []  # no predicate with an anchor holds for them, and no look-up takes them
        found: list[int] = []
        for rules in self._rules[Place.WHOLE].values():
            found += rules.get(value, ())
        if not isinstance(value, str):
            return found
        for length, rules in self._rules[Place.HEAD].items():
            found += rules.get(value[:length], ())
        for length, rules in self._rules[Place.TAIL].items():
            found += rules.get(value[-length:], ())
        for length, rules in self._rules[Place.MIDDLE].items():
            pieces = rules if len(value) > LONG else {value[at : at + length] for at in range(len(value) - length + 1)}
            for piece in pieces:
                found += rules.get(piece, ())
        return found


class Index:
    """Rules, in order, and where to look for those that an event can match."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Find each rule an anchor, of those it offers the one that it shares with the fewest."""
        offered = [list(_anchors_of(rule)) for rule in routes]
        shared = Counter((*where, value) for some in offered for *where, values in some for value in values)
        self._routes = tuple(routes)
        self._always: list[int] = []
        self._shelves: dict[Path, _Shelf] = {}
        for number, some in enumerate(offered):
            if not some:
                self._always.append(number)
                continue
            anchor = min(some, key=lambda one: sum(shared[(*one[:3], value)] for value in one.values))
            self._shelves.setdefault(anchor.path, _Shelf()).add(number, anchor)
        self._candidates_of_any = tuple(self._routes[number] for number in self._always)

    def candidates(self, event: Event) -> Sequence[Route]:
        """Give all rules that match the event, and perhaps others, in order; total."""
        found: list[int] = []
        for path, shelf in self._shelves.items():
            found += shelf.find(value_at(event, path))
        if not found:
            return self._candidates_of_any
        return [self._routes[number] for number in sorted(found + self._always)]


def _anchors_of(rule: Route) -> Iterator[_Anchor]:
    for path, predicate in rule.match:
        yield from _anchors(path, predicate)


def _anchors(path: Path, predicate: Predicate) -> Iterator[_Anchor]:
    match predicate:
        case OneOf(values):
            yield _Anchor(path, Place.WHOLE, 0, frozenset(value for _, value in values))
        case Prefix(head) | Glob(head) if head:
            yield _Anchor(path, Place.HEAD, len(head), frozenset({head}))
        case Suffix(tail) | Glob(_, _, tail) if tail:
            yield _Anchor(path, Place.TAIL, len(tail), frozenset({tail}))
        case Glob(_, middle) if middle:
            longest = max(middle, key=len)
            yield _Anchor(path, Place.MIDDLE, len(longest), frozenset({longest}))
        case AllOf(parts):
            for part in parts:
                yield from _anchors(path, part)
        case AnyOf(parts):
            whole = [next((a.values for a in _anchors(path, part) if a.place is Place.WHOLE), None) for part in parts]
            found = [values for values in whole if values is not None]
            if len(found) == len(parts):
                yield _Anchor(path, Place.WHOLE, 0, frozenset[object]().union(*found))
        case _:
            pass
