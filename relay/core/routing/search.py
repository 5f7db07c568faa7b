"""The search: an event and the routes, to topics and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relay.core.errors import Reason
from relay.core.routing.path import value_at
from relay.core.routing.template import compile_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.model import Event, Route

# Started, Completed and Failed of one workspace share no id; under this key they stay in order.
_DEFAULT_KEY = compile_key(("key",), "{source}/{content.type}/{content.name}")


class Routed(msgspec.Struct, frozen=True, gc=False):
    """What the rules give: the names of those that matched, and (topic, key) for each record, in order.

    A topic stands once, with the key of the first rule that named it. `dropped_by` names the rule
    that dropped the event when there is no topic.
    """

    matched: tuple[str, ...]
    targets: tuple[tuple[str, str], ...]
    dropped_by: str | None = None


class Unrouted(Exception):  # noqa: N818 - an outcome, which the pipeline turns into a fate
    """The rules give no record and do not drop the event either: unroutable, or illegal_topic."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the closed reason, and a sentence that holds nothing the sender wrote."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def route(event: Event, routes: Sequence[Route]) -> Routed:
    """Find an event's topics and keys: rules in order, the first that matches wins unless it continues.

    Raises Unrouted when no rule matches, or when a topic that a matching rule gives is not a legal
    name: then there is no record at all, as half of an event's records would look like all of them.
    """
    matched: list[str] = []
    targets: dict[str, str] = {}
    dropped_by: str | None = None
    for rule in routes:
        if not _matches(event, rule):
            continue
        matched.append(rule.name)
        if rule.drop:
            dropped_by = rule.name
            break
        _add_targets(event, rule, targets)
        if not rule.go_on:
            break
    if not targets and dropped_by is None:
        raise Unrouted(Reason.UNROUTABLE, "no rule matches")
    return Routed(tuple(matched), tuple(targets.items()), None if targets else dropped_by)


def key_of(event: Event, rule: Route) -> str:
    """Give the key of the records that a rule gives for an event; never empty."""
    return (rule.key or _DEFAULT_KEY).fill(event) or f"{event.source}/{event.type}"


def default_key_of(event: Event) -> str:
    """Give the key of a record that no rule gives; never empty."""
    return _DEFAULT_KEY.fill(event) or f"{event.source}/{event.type}"


def _matches(event: Event, rule: Route) -> bool:
    for path, predicate in rule.match:  # noqa: SIM110 - a generator costs more than the test itself
        if not predicate(value_at(event, path)):
            return False
    return True


def _add_targets(event: Event, rule: Route, targets: dict[str, str]) -> None:
    key = key_of(event, rule)
    for template in rule.topics:
        topic = template.fill(event)
        if topic is None:
            raise Unrouted(Reason.ILLEGAL_TOPIC, f"rule {rule.name!r}: {template.source!r} gives no legal topic name")
        targets.setdefault(topic, key)
