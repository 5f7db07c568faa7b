"""A configuration file as plain data, with the place of every value and what is wrong with its form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import yaml

from relay.config.interpolation import UnresolvedError
from relay.config.syntax import MAX_DEPTH, UnreadableError, compose, split, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.config.interpolation import Interpolation

MAX_NODES = 100_000

Steps: TypeAlias = "tuple[str | int, ...]"


class Mark(NamedTuple):
    """A position in the file, counted from zero."""

    line: int
    col: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: from `start` to before `end`, and `key` where its key does.

    `text` is a scalar's text before interpolation, None for a mapping or a list.
    """

    key: tuple[Mark, Mark] | None
    start: Mark
    end: Mark
    text: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the form of a value, whatever field it is for. `at` overrides its place."""

    path: Steps
    what: str
    at: Mark | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's `lines`, its data as `tree`, the place of every path in it, and the problems met.

    The tree holds dict, list, str, int, float, bool and None; a text that came of a reference is
    `Interpolated`. In place of a value with a problem stands a `Placeholder`. The stretches in
    `discarded` are in no path: what a second equal key has, and keys that are none.
    """

    lines: tuple[str, ...]
    tree: object
    places: Mapping[Steps, Place]
    problems: tuple[Problem, ...]
    discarded: tuple[tuple[Mark, Mark], ...]

    def at(self, path: Steps) -> object:
        """Give the value at a path, None where there is none."""
        value = self.tree
        for step in path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def place(self, path: Steps) -> Place:
        """Give the place of a path or, where the file has none, that of the nearest one above."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


def parse(text: str, interpolation: Interpolation) -> Document:
    """Read a text as one YAML document; raises `UnreadableError` when it is none."""
    root = compose(text)
    if root is None:
        raise UnreadableError("is empty; config/relay.yaml shows what belongs here")
    lines = split(text)
    growth = _Growth(lines, interpolation)
    tree = growth.value((), root, None)
    return Document(lines, tree, growth.places, tuple(growth.problems), tuple(growth.discarded))


class _Growth:
    """One walk over the nodes, in the order of the file."""

    def __init__(self, lines: tuple[str, ...], interpolation: Interpolation) -> None:
        self._lines = lines
        self.places: dict[Steps, Place] = {}
        self.problems: list[Problem] = []
        self.discarded: list[tuple[Mark, Mark]] = []
        self._interpolation = interpolation

    def value(self, path: Steps, node: yaml.Node, key: yaml.Node | None) -> object:
        """Give a node's data and note its place. Aliases are walked again, so the count bounds them."""
        if len(self.places) >= MAX_NODES or len(path) > MAX_DEPTH:
            raise UnreadableError(
                "has too many values, counting each use of an alias", node.start_mark.line, node.start_mark.column
            )
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        key_span = (self._mark(key.start_mark), self._mark(key.end_mark)) if key else None
        self.places[path] = Place(key_span, self._mark(node.start_mark), self._mark(node.end_mark), text)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(path, node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value((*path, index), item, None) for index, item in enumerate(node.value)]
        return self._scalar(path, node) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, path: Steps, node: yaml.MappingNode) -> dict[str, object]:
        """Give a mapping's data; of two equal keys the first is kept and the second is a problem."""
        entries: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._discard(path, "has a key that is not a plain word", key, item)
                self.discarded.append((self._mark(key.start_mark), self._mark(key.end_mark)))
            elif key.value == "<<" and not key.style:
                self._discard(path, "merges with `<<`, which YAML 1.2 does not have; write it out", key, item)
            elif key.value in entries:
                what = f"is written twice; the first stands on line {lines[key.value]}"
                self._discard((*path, key.value), what, key, item)
            else:
                lines[key.value] = key.start_mark.line + 1
                entries[key.value] = self.value((*path, key.value), item, key)
        return entries

    def _discard(self, path: Steps, what: str, key: yaml.Node, item: yaml.Node) -> None:
        """Note an entry that cannot be kept, and where its value stands, which nobody will look at."""
        self.problems.append(Problem(path, what, self._mark(key.start_mark)))
        self.discarded.append((self._mark(item.start_mark), self._mark(item.end_mark)))

    def _scalar(self, path: Steps, node: yaml.ScalarNode) -> object:
        """Give a scalar's value with its references filled."""
        try:
            value = value_of(node)
            return self._interpolation.fill(value) if isinstance(value, str) else value
        except (ValueError, UnresolvedError) as problem:
            self.problems.append(Problem(path, str(problem)))
            return self._interpolation.placeholder()

    def _mark(self, mark: yaml.Mark) -> Mark:
        """Take the two numbers of libyaml's mark; it ends a file without a final line break one line too far."""
        if mark.line < len(self._lines):
            return Mark(mark.line, mark.column)
        return Mark(len(self._lines) - 1, len(self._lines[-1]))
