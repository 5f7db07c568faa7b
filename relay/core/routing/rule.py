"""Rules: from the configuration's mapping to a `Route`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from relay.core.model import Route
from relay.core.routing.fault import RuleError, unknown
from relay.core.routing.path import check_path
from relay.core.routing.predicate import Exists, Glob, compile_predicate
from relay.core.routing.template import compile_key, compile_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.core.model import Predicate
    from relay.core.routing.fault import Place
    from relay.core.routing.template import KeyText, Topic

_T = TypeVar("_T")
_WORDS = ("match", "topics", "key", "continue", "drop")
_ALWAYS_TRUE = (Glob("", (), ""), Exists(wanted=True))


def compile_route(name: str, raw: Mapping[str, object]) -> Route:
    """Compile one rule: `raw` holds `match`, `topics`, `key`, `continue`, `drop` as the file has them.

    A rule without `match` matches everything. Raises RuleError for the first fault; the others of
    the same rule are in its `others`.
    """
    draft = _Draft()
    for word in raw:
        if word not in _WORDS:
            draft.faults.append(RuleError((word,), unknown("key", word, _WORDS)))
    match = draft.each(_condition, ("match",), draft.take(_mapping, ("match",), raw.get("match", {})) or {})
    texts = draft.take(_list, ("topics",), raw.get("topics", [])) or []
    topics = draft.each(_topic, ("topics",), dict(enumerate(texts)))
    key = draft.take(_key, ("key",), raw["key"]) if "key" in raw else None
    go_on = draft.take(_flag, ("continue",), raw.get("continue", False))
    drop = draft.take(_flag, ("drop",), raw.get("drop", False))
    draft.take(_check_outcome, (), raw)
    draft.check()
    return Route(name, tuple(match), tuple(topics), key, go_on is True, drop is True)


def unreachable(routes: Sequence[Route]) -> list[tuple[int, str]]:
    """List the rules that no event can reach, as (index, why), in order."""
    found: list[tuple[int, str]] = []
    final: dict[frozenset[tuple[str, Predicate]], str] = {}
    catch_all: str | None = None
    for index, route in enumerate(routes):
        match = frozenset(route.match)
        if catch_all is not None:
            found.append((index, f"cannot be reached: {catch_all!r} before it matches everything, without continue"))
        elif match in final:
            found.append((index, f"cannot be reached: {final[match]!r} before it has the same match, without continue"))
        elif not route.go_on:
            final[match] = route.name
            if all(path in ("type", "source") and predicate in _ALWAYS_TRUE for path, predicate in match):
                catch_all = route.name
    return found


class _Draft:
    """A rule being compiled: goes on after a fault, so that one reading tells them all."""

    def __init__(self) -> None:
        self.faults: list[RuleError] = []

    def take(self, build: Callable[[Place, object], _T], place: Place, raw: object) -> _T | None:
        try:
            return build(place, raw)
        except RuleError as fault:
            self.faults.append(fault)
            return None

    def each(
        self, build: Callable[[Place, object], _T], place: Place, raw: Mapping[str, object] | Mapping[int, object]
    ) -> list[_T]:
        built = [self.take(build, (*place, at), value) for at, value in raw.items()]
        return [part for part in built if part is not None]

    def check(self) -> None:
        if self.faults:
            first, *others = self.faults
            first.others = tuple(others)
            raise first


def _mapping(place: Place, raw: object) -> Mapping[str, object]:
    if not isinstance(raw, Mapping) or not all(isinstance(path, str) for path in raw):
        raise RuleError(place, "must be a mapping of paths to predicates; {} matches everything")
    return raw


def _condition(place: Place, raw: object) -> tuple[str, Predicate]:
    path = str(place[-1])
    check_path(path, place)
    return path, compile_predicate(place, raw)


def _list(place: Place, raw: object) -> list[object]:
    if not isinstance(raw, list | tuple):
        raise RuleError(place, "must be a list of topics")
    if len(set(map(str, raw))) < len(raw):
        raise RuleError(place, "names a topic twice")
    return list(raw)


def _text(place: Place, raw: object) -> str:
    if not isinstance(raw, str):
        raise RuleError(place, "must be a text")
    return raw


def _topic(place: Place, raw: object) -> Topic:
    return compile_topic(place, _text(place, raw))


def _key(place: Place, raw: object) -> KeyText:
    return compile_key(place, _text(place, raw))


def _flag(place: Place, raw: object) -> bool:
    if not isinstance(raw, bool):
        raise RuleError(place, "must be true or false")
    return raw


def _check_outcome(place: Place, raw: object) -> None:
    """Refuse a rule that does nothing, or two things that exclude each other."""
    if not isinstance(raw, Mapping) or raw.get("drop", False) is not True:
        if isinstance(raw, Mapping) and not raw.get("topics"):
            raise RuleError(place, "needs topics, or drop: true")
        return
    for word, why in (
        ("topics", "what is dropped goes to no topic"),
        ("key", "what is dropped has no record"),
        ("continue", "a drop ends the search"),
    ):
        if raw.get(word):
            raise RuleError((*place, word), f"cannot stand beside drop: {why}")
