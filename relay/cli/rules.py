"""A ruling, laid out: what each rule says of an event, and the records that come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relay.cli.text import as_text, lines, safe, safe_block, shown
from relay.core.model import Status
from relay.core.routing.explanation import Verdict
from relay.core.routing.path import MISSING

if TYPE_CHECKING:
    from relay.core.model import Record
    from relay.core.routing.explanation import Condition, Finding, Trial
    from relay.core.ruling import Ruling

LARGE = 900_000  # bytes: smaller ones are taken unless a topic's max.message.bytes was lowered
_MARKS = {Verdict.MATCHED: "+", Verdict.NOT_MATCHED: "-", Verdict.NOT_LOOKED_AT: "."}


def tell_ruling(ruling: Ruling) -> None:
    """Print what every rule says, then the records or why there are none."""
    if ruling.event:
        event = ruling.event
        pairs = [("id", safe(event.id)), ("type", safe(event.type)), ("subject", safe(event.subject or "(none)"))]
        lines([*pairs, ("time", event.time or "(missing or unreadable)")])
        click.echo("rules")
    for finding in ruling.findings:
        _tell_finding(finding)
    click.echo(f"outcome: {outcome_of(ruling)}")
    for record in ruling.processed.records if ruling.processed else ():
        click.echo(f"  record for {record.topic}")
        headers = [(f"header {name}", safe_block(value)) for name, value in record.headers]
        value = safe_block(record.value).replace("\n", "\n           ")
        lines([("key", safe_block(record.key)), *headers, *_size(record), ("value", value)], indent="    ")


def outcome_of(ruling: Ruling) -> str:
    """Say in one sentence what the rules make of it."""
    if ruling.fate:
        return f"dead, {ruling.fate.reason}: {safe(ruling.fate.detail)}"
    if ruling.processed and ruling.status is Status.DROPPED:
        return f"dropped by the rule {safe(ruling.processed.dropped_by or '')}"
    count = len(ruling.topics)
    return f"{count} record{'s' * (count != 1)}, to {', '.join(ruling.topics)}"


def ruling_fields(ruling: Ruling) -> dict[str, object]:
    """Give a ruling as members for JSON."""
    fields: dict[str, object] = {}
    if event := ruling.event:
        fields |= {"id": event.id, "type": event.type, "subject": event.subject, "time": event.time}
    fields["rules"] = [_finding_fields(finding) for finding in ruling.findings]
    outcome: dict[str, object] = {"status": ruling.status}
    if ruling.fate:
        outcome |= {"reason": ruling.fate.reason, "detail": ruling.fate.detail}
    elif ruling.processed:
        if ruling.processed.dropped_by:
            outcome["dropped_by"] = ruling.processed.dropped_by
        outcome["records"] = [_record_fields(record) for record in ruling.processed.records]
    return fields | {"outcome": outcome}


def _size(record: Record) -> list[tuple[str, str]]:
    """Say of a large record what its topic must take; only Kafka knows what it does take."""
    size = len(record.key) + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)
    if size < LARGE:
        return []
    needed = size * 10 // 9  # the relay keeps a tenth free
    limit = f"max.message.bytes of {record.topic} is about {needed:,} or more, and the relay may ask for it"
    return [("size", f"{size:,} bytes: dead, too_large, unless {limit}")]


def _tell_finding(finding: Finding) -> None:
    word = finding.verdict.replace("_", " ")
    if finding.verdict is Verdict.NOT_LOOKED_AT:
        word += ": a rule above ended the search"
    elif finding.verdict is Verdict.MATCHED:
        word += " and drops" if finding.drop else "" if finding.ends else ", goes on to the next rule"
    click.echo(f"  {_MARKS[finding.verdict]} {safe(finding.rule)}: {word}")
    for condition in finding.conditions:
        actual = "missing" if condition.actual is MISSING else shown(condition.actual)
        held = "holds" if condition.trial.held else "FAILS"
        click.echo(f"      {held}  {safe(condition.path)}: expected {shown(condition.trial.expected)}, is {actual}")
        _tell_parts(condition.trial, "      ")
    for target in finding.targets:
        given = target.topic or f"no legal topic name, from {safe(target.template)}"
        click.echo(f"      gives  {given}, key {shown(finding.key)}")


def _tell_parts(trial: Trial, indent: str) -> None:
    for part in trial.parts:
        click.echo(f"{indent}  {'holds' if part.held else 'fails'}  {shown(part.expected)}")
        _tell_parts(part, indent + "  ")


def _finding_fields(finding: Finding) -> dict[str, object]:
    fields: dict[str, object] = {"name": finding.rule, "verdict": finding.verdict, "drop": finding.drop}
    if finding.verdict is Verdict.NOT_LOOKED_AT:
        return fields
    fields["conditions"] = [_condition_fields(condition) for condition in finding.conditions]
    if finding.verdict is Verdict.MATCHED:
        fields["ends"] = finding.ends
        fields["topics"] = [{"template": target.template, "topic": target.topic} for target in finding.targets]
        fields["key"] = finding.key
    return fields


def _condition_fields(condition: Condition) -> dict[str, object]:
    found = {"missing": True} if condition.actual is MISSING else {"actual": condition.actual}
    return {"path": condition.path, **_trial_fields(condition.trial), **found}


def _trial_fields(trial: Trial) -> dict[str, object]:
    fields: dict[str, object] = {"expected": trial.expected, "held": trial.held}
    return fields | ({"parts": [_trial_fields(part) for part in trial.parts]} if trial.parts else {})


def _record_fields(record: Record) -> dict[str, object]:
    headers = [{"name": name, **as_text(value, "value")} for name, value in record.headers]
    return {"topic": record.topic, **as_text(record.key, "key"), "headers": headers, **as_text(record.value, "value")}
