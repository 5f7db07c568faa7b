"""What can be said of a stored delivery today: by its source's keys, by the rules, and by the relay that runs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from relay.cli.keyed import key_of, keyed
from relay.core.errors import Reason, Rejected
from relay.core.model import Replay, Status
from relay.core.pipeline import Pipeline
from relay.core.ruling import rule_on
from relay.health import ANY_PORT, address_of, ask_ready
from relay.spool import in_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.config import Config
    from relay.core.ruling import Ruling
    from relay.spool import Kept

ASK_TIMEOUT = 2.0
BODY_SWEPT = "the body has left the spool, to make room"
OF_ROUTING = (Reason.MALFORMED, Reason.UNROUTABLE, Reason.ILLEGAL_TOPIC, Reason.STALE)


class Check(NamedTuple):
    """What a stored signature is worth under the keys of today; `verified` is None when that could not be asked."""

    verified: bool | None
    text: str


class Row(NamedTuple):
    """One row of the running relay's health."""

    name: str
    state: str
    detail: str


class Account(NamedTuple):
    """What is told of a stored delivery beside what the spool holds of it.

    `waiting` are the topics whose record is neither settled nor in a flight. `health` is what the running relay says
    about a pending one; where it is None for such a one, `silence` says why.
    """

    ruling: Ruling | None
    check: Check
    waiting: list[str]
    health: tuple[Row, ...] | None
    silence: str = "no relay runs on this spool: it goes on when one is started"


def pipeline_of(config: Config) -> Pipeline:
    """Give the pipeline as the relay builds it of this configuration."""
    return Pipeline({source.name: source for source in config.sources}, config.routes, config.envelope)


def account_of(config: Config, kept: Kept, *, secrets: bool) -> Account:
    """Gather it; the running relay is asked only about a pending delivery."""
    pipeline = pipeline_of(config)
    known = kept.delivery.source in pipeline.sources and not kept.body_swept
    replay = Replay(kept.listed.replay_of) if kept.listed.replay_of else None
    ruling = rule_on(kept.delivery, pipeline, replay) if known else None
    check = _check_signature(config, kept, secrets=secrets)
    if kept.listed.status is not Status.PENDING:
        return Account(ruling, check, [], None)
    topics = (kept.listed.target,) if kept.listed.target else ruling.topics if ruling else ()
    begun = [*(record.topic for record in kept.records), *(one.topic for one in kept.aloft)]
    waiting = [topic for topic in topics if topic not in begun]
    if not in_use(config.spool.path):  # so that whoever answers there is another's
        return Account(ruling, check, waiting, None)
    return Account(ruling, check, waiting, _ask_relay(config, kept, [*topics, *begun]), _unasked(config))


def difference(kept: Kept, ruling: Ruling | None) -> str | None:
    """Say what today's rules would do otherwise than was done, or will be; None when it is the same.

    Of a pending one only is told that nothing will be published of it. Keys and headers are not compared: they are
    not kept.
    """
    listed = kept.listed
    if ruling is None and listed.status is Status.PENDING:
        return f"it waits until the source {listed.source} is configured again"
    if ruling is None or listed.withdrawn or listed.target or listed.reason is Reason.ID_CONFLICT:
        return None
    now = _outcome(ruling)
    if listed.status is Status.PENDING:
        if ruling.topics or kept.records or kept.aloft:
            return None  # by which rules its records would have been others is not kept
        return f"a relay that is started with these rules makes it {now}"
    by_rules = listed.status is Status.DEAD and listed.reason in OF_ROUTING
    dropped = _dropped(listed.detail) if listed.status is Status.DROPPED else None
    then = f"dead, {listed.reason}" if by_rules else dropped or _topics(record.topic for record in kept.records)
    return f"it was {then}; by today's rules it would be {now}" if then != now else None


def conflict_with(kept: Kept) -> int | None:
    """Give the number of the delivery whose id a conflicting one has, which its detail names; None for others.

    The memory of repeats would not do: ids leave it, and may come anew.
    """
    listed = kept.listed
    named = re.match(r"delivery (\d+) ", listed.detail or "") if listed.reason is Reason.ID_CONFLICT else None
    return int(named[1]) if named else None


def _outcome(ruling: Ruling) -> str:
    if ruling.fate:
        return f"dead, {ruling.fate.reason}"
    if ruling.topics:
        return _topics(ruling.topics)
    return _dropped(ruling.processed.dropped_by if ruling.processed else None)


def _topics(topics: Iterable[str]) -> str:
    return f"for {', '.join(sorted(topics))}"


def _dropped(rule: str | None) -> str:
    return f"dropped by the rule {rule}"


def _check_signature(config: Config, kept: Kept, *, secrets: bool) -> Check:
    """Verify a stored signature again, over the stored body."""
    delivery = kept.delivery
    source = next((source for source in config.sources if source.name == delivery.source), None)
    if source is None:
        return Check(None, f"not checked: the source {delivery.source} is not configured")
    if kept.body_swept:
        return Check(None, f"not checked: {BODY_SWEPT}")
    if not secrets:
        return Check(None, "not checked: --no-secrets")
    known, signatures = keyed(config), [delivery.signature]
    try:
        return Check(
            verified=True, text=f"verified by key {key_of(known.good[source.name], signatures, delivery.body)}"
        )
    except Rejected:
        since = ", which is retired" if delivery.key_id in known.retired[source.name] else ""
        return Check(
            verified=False, text=f"verifies under no key of today; when it came it did under {delivery.key_id}{since}"
        )


def _unasked(config: Config) -> str:
    """Say of a relay that runs why it says nothing."""
    if not config.admin.port:
        return f"a relay runs on this spool, and cannot be asked: {ANY_PORT}"
    where = f"{address_of(config.admin.host)} port {config.admin.port}"
    return f"a relay runs on this spool, and does not answer at {where}; check admin.host and admin.port"


def _ask_relay(config: Config, kept: Kept, topics: Sequence[str]) -> tuple[Row, ...] | None:
    """Ask the running relay for the rows about these topics and this source, and for all that is wrong."""
    _, text = ask_ready(config.admin.host, config.admin.port, ASK_TIMEOUT, as_json=True)
    try:
        rows = [Row(row["name"], row["state"], row["detail"]) for row in json.loads(text)["checks"]]
    except (ValueError, KeyError, TypeError):
        return None
    named = {f"{what} {topic}" for topic in topics for what in ("lane", "topic")} | {f"source {kept.delivery.source}"}
    return tuple(row for row in rows if row.name in named or row.state != "ok")
