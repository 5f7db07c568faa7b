"""Predicates: the conditions of a rule on the value at a path.

On a path that does not exist every predicate is false, save `exists: false`, and `not`, which is
true whenever what it holds is false. Predicates are values: two that are written alike are equal,
which is how a rule that can never be reached is found. Each can be written again as the configuration
writes it (`written`), which is how an explanation says what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.routing.fault import RuleError, unknown
from relay.core.routing.path import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.model import Predicate
    from relay.core.routing.fault import Place


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these, with the same JSON type: 1 and 1.0 are one number, true is none."""

    values: frozenset[tuple[str, object]]

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return _typed(value) in self.values

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        values = [value for _, value in sorted(self.values, key=repr)]
        if len(values) > 1:
            return {"in": values}
        (value,) = values
        return value if isinstance(value, str) and not set("*?[") & set(value) else {"exact": value}


@dataclass(frozen=True, slots=True)
class Prefix:
    """The value is a text that begins so."""

    text: str

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return isinstance(value, str) and value.startswith(self.text)

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return {"prefix": self.text}


@dataclass(frozen=True, slots=True)
class Suffix:
    """The value is a text that ends so."""

    text: str

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return isinstance(value, str) and value.endswith(self.text)

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return {"suffix": self.text}


@dataclass(frozen=True, slots=True)
class Glob:
    """The value is a text that matches as a whole, where `*` stands for any text.

    Each piece between two stars is taken at its first place after the one before, which never has
    to be taken back: time is linear, whatever the pattern.
    """

    head: str
    middle: tuple[str, ...]
    tail: str

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        if not isinstance(value, str) or not value.startswith(self.head) or not value.endswith(self.tail):
            return False
        at, end = len(self.head), len(value) - len(self.tail)
        for piece in self.middle:
            found = value.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return at <= end

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return "*".join((self.head, *self.middle, self.tail))


@dataclass(frozen=True, slots=True)
class Exists:
    """The path exists, be it with null; or does not."""

    wanted: bool

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return (value is not MISSING) is self.wanted

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return {"exists": self.wanted}


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these holds."""

    parts: tuple[Predicate, ...]

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return any(part(value) for part in self.parts)

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return {"any": [part.written for part in self.parts]}


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each of these holds."""

    parts: tuple[Predicate, ...]

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return all(part(value) for part in self.parts)

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        parts = [part.written for part in self.parts]
        merged = {word: part[word] for part in parts if isinstance(part, dict) and len(part) == 1 for word in part}
        return merged if len(merged) == len(parts) > 1 else {"all": parts}


@dataclass(frozen=True, slots=True)
class Not:
    """What it holds does not hold."""

    part: Predicate

    def __call__(self, value: object) -> bool:  # noqa: D102 - the class says it
        return not self.part(value)

    @property
    def written(self) -> object:  # noqa: D102 - the protocol says it
        return {"not": self.part.written}


def compile_predicate(place: Place, raw: object) -> Predicate:
    """Make a predicate of what stands at a path: a text (a glob), or a mapping of predicates that all must hold.

    Raises RuleError.
    """
    if isinstance(raw, str):
        return _glob(place, raw)
    if not isinstance(raw, Mapping):
        raise RuleError(place, "must be a text (a glob) or a mapping of predicates, as in {in: [...]} or {exact: 1}")
    if not raw:
        raise RuleError(place, f"names no predicate: one of {', '.join(_WORDS)}")
    parts = []
    for word, operand in raw.items():
        if word not in _WORDS:
            raise RuleError((*place, str(word)), unknown("predicate", str(word), _WORDS))
        parts.append(_WORDS[word]((*place, word), operand))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _typed(value: object) -> tuple[str, object]:
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):  # before int, which it is a kind of in Python and not in JSON
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    return ("null", None) if value is None else ("neither", None)


def _scalar(place: Place, raw: object) -> tuple[str, object]:
    typed = _typed(raw)
    if typed[0] == "neither" or raw != raw:  # noqa: PLR0124 - not-a-number is the one value unlike itself
        raise RuleError(place, "must be a text, a number, true, false or null")
    return typed


def _exact(place: Place, raw: object) -> Predicate:
    return OneOf(frozenset({_scalar(place, raw)}))


def _in(place: Place, raw: object) -> Predicate:
    return OneOf(frozenset(_scalar((*place, at), value) for at, value in enumerate(_listed(place, raw))))


def _text(place: Place, raw: object) -> str:
    if not isinstance(raw, str):
        raise RuleError(place, "must be a text")
    return raw


def _glob(place: Place, raw: object) -> Predicate:
    pattern = _text(place, raw)
    if "?" in pattern or "[" in pattern:
        raise RuleError(place, "a glob knows only '*'; for '?' and '[' themselves use exact, prefix or suffix")
    head, *rest = pattern.split("*")
    if not rest:
        return OneOf(frozenset({("string", pattern)}))
    return Glob(head, tuple(piece for piece in rest[:-1] if piece), rest[-1])


def _exists(place: Place, raw: object) -> Predicate:
    if not isinstance(raw, bool):
        raise RuleError(place, "must be true or false")
    return Exists(raw)


def _listed(place: Place, raw: object) -> list[object]:
    if not isinstance(raw, list | tuple) or not raw:
        raise RuleError(place, "must be a list with at least one entry")
    return list(raw)


def _each(place: Place, raw: object) -> tuple[Predicate, ...]:
    return tuple(compile_predicate((*place, at), part) for at, part in enumerate(_listed(place, raw)))


_WORDS: dict[str, Callable[[Place, object], Predicate]] = {
    "exact": _exact,
    "prefix": lambda place, raw: Prefix(_text(place, raw)),
    "suffix": lambda place, raw: Suffix(_text(place, raw)),
    "glob": _glob,
    "in": _in,
    "exists": _exists,
    "any": lambda place, raw: AnyOf(_each(place, raw)),
    "all": lambda place, raw: AllOf(_each(place, raw)),
    "not": lambda place, raw: Not(compile_predicate(place, raw)),
}
