"""The explanation: what each rule says of an event, and why.

It looks where `search` looks, in the same order, and ends where that ends; a law in the tests holds
the two together. What decides about an event is `search` alone.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.routing.path import value_at
from relay.core.routing.predicate import AllOf, AnyOf, Not
from relay.core.routing.search import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.model import Event, Predicate, Route


class Verdict(enum.StrEnum):
    """What a rule said of an event; `NOT_LOOKED_AT` when a rule before it had ended the search."""

    MATCHED = "matched"
    NOT_MATCHED = "not_matched"
    NOT_LOOKED_AT = "not_looked_at"


@dataclass(frozen=True, slots=True)
class Trial:
    """One predicate tried on a value: what it expects, as the configuration writes it, and whether it held.

    `parts` are the trials of what stands within any, all and not.
    """

    expected: object
    held: bool
    parts: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: its path, what stands there (or `path.MISSING`), and the trial of its predicate."""

    path: str
    actual: object
    trial: Trial


@dataclass(frozen=True, slots=True)
class Target:
    """One topic of a rule that matched: its template, and the name it gives; None when that is not legal."""

    template: str
    topic: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of an event: its verdict, each of its conditions, and what it gives if it matched.

    A rule that was not looked at has no conditions. `ends` tells that the search ended here.
    """

    rule: str
    verdict: Verdict
    conditions: tuple[Condition, ...] = ()
    targets: tuple[Target, ...] = ()
    key: str | None = None
    drop: bool = False
    ends: bool = False


def explain(event: Event, routes: Sequence[Route]) -> tuple[Finding, ...]:
    """Say of every rule, in order, whether it matched, and if not, which conditions failed; total."""
    findings: list[Finding] = []
    ended = False
    for rule in routes:
        finding = Finding(rule.name, Verdict.NOT_LOOKED_AT, drop=rule.drop) if ended else _find(event, rule)
        findings.append(finding)
        ended = ended or finding.ends
    return tuple(findings)


def _find(event: Event, rule: Route) -> Finding:
    conditions = tuple(_condition(event, path, predicate) for path, predicate in rule.match)
    if not all(condition.trial.held for condition in conditions):
        return Finding(rule.name, Verdict.NOT_MATCHED, conditions, drop=rule.drop)
    if rule.drop:
        return Finding(rule.name, Verdict.MATCHED, conditions, drop=True, ends=True)
    targets: list[Target] = []
    for template in rule.topics:
        targets.append(Target(template.source, template.fill(event)))
        if targets[-1].topic is None:  # there is no record at all then: nothing further is asked
            break
    ends = not rule.go_on or targets[-1].topic is None
    return Finding(rule.name, Verdict.MATCHED, conditions, tuple(targets), key_of(event, rule), ends=ends)


def _condition(event: Event, path: str, predicate: Predicate) -> Condition:
    actual = value_at(event, path)
    return Condition(path, actual, _try(predicate, actual))


def _try(predicate: Predicate, value: object) -> Trial:
    parts: tuple[Predicate, ...] = ()
    if isinstance(predicate, AnyOf | AllOf):
        parts = predicate.parts
    elif isinstance(predicate, Not):
        parts = (predicate.part,)
    return Trial(predicate.written, predicate(value), tuple(_try(part, value) for part in parts))
