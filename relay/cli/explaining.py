"""The explanation of one event: what each rule says of it, and what became of it."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
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
    from relay.core.errors import Undeliverable
    from relay.core.model import Delivery, Processed, Source
    from relay.core.ruling import Ruling
    from relay.spool import Browser, Known


class Repeat(NamedTuple):
    """What a delivery would be by its id alone: a duplicate of one that is known, or in conflict with it.

    Without `of`, that is not known, and `why` says why.
    """

    word: str
    of: Known | None = None
    why: str = ""


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
    elif _is_file(what):
        _explain_body(config, _content(what), name, as_json=as_json)
    else:
        _explain_delivery(config, what, name, secrets=not no_secrets, as_json=as_json)


def _is_file(what: str) -> bool:
    """Tell whether a file is meant, which may be a pipe."""
    with suppress(OSError):  # what is too long for a file's name may be an id
        return not what.isdecimal() and Path(what).exists() and not Path(what).is_dir()
    return False


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{name!r}: {error.strerror}", param_hint="FILE") from None


def _explain_body(config: Config, body: bytes, name: str | None, *, as_json: bool) -> None:
    from relay.cli.rules import ruling_fields, tell_ruling
    from relay.cli.today import pipeline_of
    from relay.core.ruling import rule_on

    source = source_named(config, name)
    ruling = rule_on(_delivery(config, source, body), pipeline_of(config))
    repeat = _repeat(config, source, ruling)
    if as_json:
        click.echo(json.dumps({"source": source.name, **ruling_fields(ruling), "repeat": _repeat_fields(repeat)}))
    else:
        click.echo(f"an event of {source.name}, by the rules as they are configured")
        tell_ruling(ruling)
        click.echo(f"if it came now: {_told_now(ruling, repeat)}")
    if ruling.status is Status.DEAD or (repeat and repeat.word == "id_conflict"):
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
    from relay.core.errors import Unavailable
    from relay.spool import Browser

    identity = ruling.processed or ruling.fate
    if identity is None:
        return None
    try:
        if not config.spool.path.exists():
            return None
        with Browser(config.spool.path) as browser:
            return _repeat_in(browser, config, source, identity)
    except (Unavailable, OSError) as error:
        return Repeat("not_known", why=str(error))


def _repeat_in(browser: Browser, config: Config, source: Source, identity: Processed | Undeliverable) -> Repeat | None:
    first = browser.first_of(source.name, identity.dedupe_id, config.dedupe.ids)
    if first is None:
        return None
    if first.fingerprint == identity.fingerprint:
        return Repeat("duplicate", first)
    conflict = browser.conflict_of(source.name, identity.dedupe_id, identity.fingerprint, config.dedupe.ids)
    return Repeat("duplicate", conflict) if conflict else Repeat("id_conflict", first)


def _told_now(ruling: Ruling, repeat: Repeat | None) -> str:
    if repeat is None:
        return "a new dead letter" if ruling.status is Status.DEAD else "a new event"
    if repeat.of is None:
        return f"not known: {repeat.why}"
    known = f"delivery {repeat.of.number}, accepted at {moment(repeat.of.accepted_at)}"
    if repeat.word == "duplicate":
        return f"a duplicate of {known}; nothing would be stored or published"
    return f"dead, id_conflict: {known}, has the same id with another type or content"


def _repeat_fields(repeat: Repeat | None) -> dict[str, object] | None:
    if repeat is None:
        return None
    if repeat.of is None:
        return {"as": repeat.word, "why": repeat.why}
    return {"as": repeat.word, "of": repeat.of.number, "accepted": moment(repeat.of.accepted_at)}


def _explain_delivery(config: Config, what: str, name: str | None, *, secrets: bool, as_json: bool) -> None:
    from relay.cli.account import account_fields, tell_account
    from relay.cli.lookup import look_up
    from relay.cli.rules import ruling_fields, tell_ruling
    from relay.cli.today import BODY_SWEPT, account_of, conflict_with, difference

    aside = "" if what.isdecimal() else "; nor is there a file of that name"
    kept = look_up(config, what, name, as_json=as_json, aside=aside)
    account = account_of(config, kept, secrets=secrets)
    ruling, differs, first = account.ruling, difference(kept, account.ruling), conflict_with(kept)
    if as_json:
        today = ruling_fields(ruling) if ruling else None
        fields = account_fields(kept, account) | {"conflict_with": first}
        click.echo(json.dumps({**fields, "today": today, "differs": differs}))
    else:
        tell_account(kept, account)
        click.echo("by today's rules")
        if ruling:
            tell_ruling(ruling)
        else:
            why = BODY_SWEPT if kept.body_swept else f"the source {kept.delivery.source} is not configured"
            click.echo(f"  nothing: {why}")
        if differs:
            click.echo(f"note: {differs}")
        if first is not None:
            click.echo(f"note: not published: its id is that of delivery {first}")
    if kept.listed.status is Status.DEAD or (ruling and ruling.status is Status.DEAD):
        leave(NO)
