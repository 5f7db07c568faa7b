"""The rules: what `core.routing` says of them, at the place in the file that it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.config.entry import RouteEntry
from relay.config.interpolation import Interpolated
from relay.core.routing import RuleError, compile_route, unreachable

if TYPE_CHECKING:
    from relay.config.document import Steps
    from relay.config.reading import Reading
    from relay.core.model import Route


def read_routes(reading: Reading) -> tuple[Route, ...]:
    """Give the rules in the order of the file; faulty ones are left out, and gathered."""
    rules = reading.document.at(("routes",))
    if not isinstance(rules, list) or not rules:
        reading.fault(("routes",), "must be a list of at least one rule")
        return ()
    found: dict[int, Route] = {}
    names: dict[str, int] = {}
    for index, rule in enumerate(rules):
        route = _read_route(reading, ("routes", index), rule)
        if route is None:
            continue
        if route.name in names:
            line = reading.document.place(("routes", names[route.name], "name")).start.line + 1
            reading.fault(("routes", index, "name"), f"is the name of the rule on line {line} too; each needs its own")
        names.setdefault(route.name, index)
        found[index] = route
    indices = list(found)
    for position, why in unreachable(list(found.values())):
        reading.fault(("routes", indices[position]), why, at_key=True)
    return tuple(found.values())


def _read_route(reading: Reading, path: Steps, rule: object) -> Route | None:
    """Give one rule, or None when it has faults; those of the rule's meaning are asked for in any case."""
    entry = reading.part(RouteEntry, path)
    if not isinstance(rule, dict):
        return None
    raw = {str(key): _plain(value) for key, value in rule.items() if key in ("match", "topics") or value is not None}
    raw.pop("name", None)
    raw |= {"continue": entry.go_on, "drop": entry.drop} if entry else {}
    try:
        route = compile_route(entry.name if entry else "", raw)
    except RuleError as first:
        for error in (first, *first.others):
            key = error.path[-1] if error.path else None
            unknown = isinstance(key, str) and error.what.startswith("unknown") and repr(key) in error.what
            reading.fault((*path, *error.path), error.what, at_key=unknown)
        return None
    return route if entry else None


def _plain(value: object) -> object:
    """Give a value without the marks of interpolation, which rules know nothing of."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Interpolated) else value
