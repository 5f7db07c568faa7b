"""The explanation of one event: what each rule says of it, and what became of it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from relay.cli.exits import NO, fail, leave
from relay.cli.options import config_option, json_option, load_config, secrets_option, source_named
from relay.cli.text import moment
from relay.core.model import Key, Status

if TYPE_CHECKING:
    from relay.config import Config
    from relay.core.model import Delivery, Source
    from relay.core.ruling import Ruling
    from relay.spool import Known


class Repeat(NamedTuple):
    """What a delivery would be by its id alone: a duplicate of one that is known, or in conflict with it."""

    word: str
    of: Known


@click.command(short_help="Say what the rules make of an event, and what became of it.")
@click.argument("what", metavar="FILE|-|DELIVERY")
@click.option("--source", "name", metavar="NAME", help="The source; needed for a file when several are configured.")
@secrets_option
@config_option
@json_option
def explain(what: str, name: str | None, no_secrets: bool, path: Path, as_json: bool) -> None:  # noqa: FBT001 - flags
    """Say of every rule, in order, whether it matches an event, and if not, what was expected and what was there.

    The event is a FILE (or - for standard input) with a body as Syskit Point posts it, which needs no
    signature; or a DELIVERY of the spool, by its number or its event's id, of which is also told what
    really happened. Digits alone are a DELIVERY. Exit 1 when it is dead, or would be by these rules.
    """
    config = load_config(path, secrets=not no_secrets)
    if what == "-":
        _explain_body(config, sys.stdin.buffer.read(), name, as_json=as_json)
    elif not what.isdecimal() and Path(what).is_file():
        _explain_body(config, Path(what).read_bytes(), name, as_json=as_json)
    else:
        _explain_delivery(config, what, name, secrets=not no_secrets, as_json=as_json)


def _explain_body(config: Config, body: bytes, name: str | None, *, as_json: bool) -> None:
    from relay.cli.rules import ruling_fields, tell_ruling
    from relay.cli.today import pipeline_of
    from relay.core.ruling import rule_on

    if name is None and len(config.sources) > 1:
        names = ", ".join(source.name for source in config.sources)
        raise click.UsageError(f"several sources are configured: say which with --source ({names})")
    source = source_named(config, name) if name else config.sources[0]
    ruling = rule_on(_delivery(config, source, body), pipeline_of(config))
    repeat = _repeat(config, source, ruling)
    if as_json:
        click.echo(json.dumps({"source": source.name, **ruling_fields(ruling), "repeat": _repeat_fields(repeat)}))
    else:
        click.echo(f"an event of {source.name}, by the rules as they are configured")
        tell_ruling(ruling)
        click.echo(f"if it came now: {_told_now(repeat)}")
    duplicate = repeat is not None and repeat.word == "duplicate"
    if ruling.status is Status.DEAD or (repeat and not duplicate):
        leave(NO)


def _delivery(config: Config, source: Source, body: bytes) -> Delivery:
    """Sign a body with a key made up for it and authenticate it; ends when it would be rejected."""
    from relay.core.errors import Rejected
    from relay.core.signature import authenticate, message_of, sign

    if len(body) > config.listen.max_body:
        fail(
            f"rejected with 413, body_too_large: {len(body)} bytes, and listen.max_body is {config.listen.max_body}", NO
        )
    key = Key("explain", b"relay explain signs with this alone")
    try:
        signature = sign(key.secret, message_of(source.signs, body))
    except Rejected as rejected:
        fail(f"rejected with 401, {rejected.refusal}: {rejected.detail}", NO)
    source = replace(source, keys=(key,))
    return authenticate(source, [signature], body, algorithms=(), received_at=time.time(), traceparent=None)


def _repeat(config: Config, source: Source, ruling: Ruling) -> Repeat | None:
    """Find out what the spool, if there is one, would take this event for; decided as `spool.draft` does."""
    from relay.cli.lookup import browsing

    identity = ruling.processed or ruling.fate
    if identity is None or not config.spool.path.exists():
        return None
    with browsing(config) as browser:
        first = browser.first_of(source.name, identity.dedupe_id, config.dedupe.ids)
        if first is None:
            return None
        if first.fingerprint == identity.fingerprint:
            return Repeat("duplicate", first)
        conflict = browser.conflict_of(source.name, identity.dedupe_id, identity.fingerprint, config.dedupe.ids)
        return Repeat("duplicate", conflict) if conflict else Repeat("id_conflict", first)


def _told_now(repeat: Repeat | None) -> str:
    if repeat is None:
        return "a new event"
    known = f"delivery {repeat.of.number}, accepted at {moment(repeat.of.accepted_at)}"
    if repeat.word == "duplicate":
        return f"a duplicate of {known}; nothing would be stored or published"
    return f"dead, id_conflict: {known}, has the same id with another type or content"


def _repeat_fields(repeat: Repeat | None) -> dict[str, object] | None:
    if repeat is None:
        return None
    return {"as": repeat.word, "of": repeat.of.number, "accepted": moment(repeat.of.accepted_at)}


def _explain_delivery(config: Config, what: str, name: str | None, *, secrets: bool, as_json: bool) -> None:
    from relay.cli.account import account_fields, tell_account
    from relay.cli.lookup import browsing, find_one
    from relay.cli.rules import ruling_fields, tell_ruling
    from relay.cli.today import account_of, difference

    with browsing(config) as browser:
        kept = find_one(browser, config, what, name, as_json=as_json)
    account = account_of(config, kept, secrets=secrets)
    ruling, differs = account.ruling, difference(kept, account.ruling)
    if as_json:
        today = ruling_fields(ruling) if ruling else None
        click.echo(json.dumps({**account_fields(kept, account), "today": today, "differs": differs}))
    else:
        tell_account(kept, account)
        click.echo("by today's rules")
        if ruling:
            tell_ruling(ruling)
        else:
            click.echo(f"  nothing: the source {kept.delivery.source} is not configured")
        if differs:
            click.echo(f"note: {differs}")
    if kept.listed.status is Status.DEAD or (ruling and ruling.status is Status.DEAD):
        leave(NO)
