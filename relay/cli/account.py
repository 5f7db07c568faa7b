"""The account of a stored delivery: what really happened to it, laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relay.cli.text import lines, moment, safe
from relay.core.model import Status, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.cli.today import Account
    from relay.spool import Kept, Listed


def status_of(listed: Listed) -> str:
    """Say in one sentence what became of it."""
    detail = safe(listed.detail or "")
    if listed.status is Status.DEAD:
        return f"dead, {listed.reason}: {detail}"
    if listed.withdrawn is Withdrawal.REPLAYED:
        return f"dropped, as it was replayed; it was dead, {listed.reason}: {detail}"
    if listed.withdrawn is Withdrawal.DISCARDED:
        before = f"dead, {listed.reason}: {detail}" if listed.reason else "a replay on its way"
        return f"dropped, as it was discarded; it was {before}"
    if listed.status is Status.DROPPED:
        return (
            "dropped, as no dead_letters.topic is configured" if listed.mirror_of else f"dropped by the rule {detail}"
        )
    return "pending: on disk, and not published yet" if listed.status is Status.PENDING else "published"


def tell_account(kept: Kept, account: Account) -> None:
    """Print what happened to a delivery."""
    listed, delivery = kept.listed, kept.delivery
    body = "its body swept to make room" if kept.body_swept else f"{len(delivery.body)} bytes"
    click.echo(f"delivery {listed.number}: {status_of(listed)}")
    lines([
        ("source", safe(listed.source)),
        ("id", safe(listed.event_id)),
        ("type", safe(listed.type or "(not readable)")),
        ("received", f"{moment(listed.received_at)}, {body}, signed with key {delivery.key_id}"),
        ("accepted", moment(kept.accepted_at) or "(its id has left the memory of repeats)"),
        *_records(kept, account.waiting),
        ("sender", _answer(listed)),
        ("settled", moment(listed.settled_at) or "not yet"),
        *_history(kept),
        ("repeats", _repeats(listed)),
        ("signature", account.check.text),
    ])  # fmt: skip
    if listed.status is Status.PENDING:
        click.echo("the relay says" if account.health is not None else account.silence)
        for row in account.health or ():
            click.echo(f"  {row.state:<4}  {safe(row.name)}: {safe(row.detail)}")


def account_fields(kept: Kept, account: Account) -> dict[str, object]:
    """Give the account as members for JSON."""
    fields = listed_fields(kept.listed)
    fields |= {
        "accepted": moment(kept.accepted_at),
        "replays": list(kept.replays),
        "key": kept.delivery.key_id,
        "bytes": None if kept.body_swept else len(kept.delivery.body),
        "traceparent": kept.delivery.traceparent,
        "records": [
            {"topic": record.topic, "partition": record.partition, "offset": record.offset, "flight": record.flight}
            | ({"reason": record.reason, "detail": record.detail} if record.reason else {})
            for record in kept.records
        ],
        "flights": [
            {"flight": one.flight, "topic": one.topic, "partition": one.partition, "sent": moment(one.sent_at)}
            for one in kept.aloft
        ],
        "waiting": account.waiting,
        "verified": account.check.verified,
        "verification": account.check.text,
    }
    if kept.listed.status is Status.PENDING:
        fields["relay"] = None if account.health is None else [row._asdict() for row in account.health]
        fields["silence"] = account.silence if account.health is None else None
    return fields


def listed_fields(listed: Listed) -> dict[str, object]:
    """Give a line of the list as members for JSON."""
    return {
        "delivery": listed.number,
        "source": listed.source,
        "id": listed.event_id,
        "type": listed.type,
        "received": moment(listed.received_at),
        "status": listed.status,
        "reason": listed.reason,
        "detail": listed.detail,
        "settled": moment(listed.settled_at),
        "answered": listed.answered,
        "answered_at": moment(listed.answered_at),
        "repeats": listed.repeats,
        "repeated_at": moment(listed.repeated_at),
        "replay_of": listed.replay_of,
        "replay_topic": listed.target,
        "withdrawn": listed.withdrawn,
        "because": listed.because,
        "mirror_of": listed.mirror_of,
        "mirrored": listed.mirrored,
    }


def _records(kept: Kept, waiting: Sequence[str]) -> list[tuple[str, str]]:
    told = []
    for record in kept.records:
        flight = f", carried by flight {record.flight}" if record.flight else ""
        if record.reason:
            told.append(f"{record.topic}: dead, {record.reason}: {safe(record.detail or '')}{flight}")
        else:
            offset = "unknown, as the broker knew it no more" if record.offset is None else record.offset
            told.append(f"{record.topic}: in Kafka, partition {record.partition}, offset {offset}{flight}")
    told += [
        f"{one.topic}: in flight {one.flight} to partition {one.partition} since {moment(one.sent_at)}"
        for one in kept.aloft
    ]
    told += [f"{topic}: by these rules it waits for its turn in the lane of {topic}" for topic in waiting]
    return [("record", text) for text in told] or [("record", "none")]


def _history(kept: Kept) -> list[tuple[str, str]]:
    """Tell what people did to it: replays of it, the one that it is, and why it was given up."""
    listed = kept.listed
    told = [("replayed", f"as delivery {number}") for number in kept.replays]
    if listed.replay_of:
        told.append(
            ("replay of", f"delivery {listed.replay_of}{f', into {safe(listed.target)}' if listed.target else ''}")
        )
    if listed.mirror_of:
        told.append(("mirror of", f"delivery {listed.mirror_of}, dead: {safe(listed.because or '')}"))
    if listed.mirrored:
        told.append(("mirrored", f"as delivery {listed.mirrored}"))
    if listed.withdrawn is Withdrawal.DISCARDED and listed.because:
        told.append(("discarded", f"at {moment(listed.settled_at)}: {safe(listed.because)}"))
    return told


def _answer(listed: Listed) -> str:
    if listed.replay_of or listed.mirror_of:
        return f"none: it is a {'replay' if listed.replay_of else 'mirror'}"
    if listed.answered is None and listed.status is Status.PENDING:
        return "nothing is noted yet: it waits for its answer, has just had it, or the relay ended before it gave one"
    if listed.answered is None:
        return "what it was told is not known: the relay was started anew before the delivery was settled"
    return f"was told {listed.answered} at {moment(listed.answered_at)}"


def _repeats(listed: Listed) -> str:
    if not listed.repeats:
        return "none"
    return f"{listed.repeats}, each answered as a duplicate, the last at {moment(listed.repeated_at)}"
