"""The verification of one request that was kept: authentic under which key, or why not."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from relay.cli.exits import NO, leave
from relay.cli.keyed import key_of, keyed
from relay.cli.options import config_option, json_option, load_config, source_named
from relay.cli.text import safe
from relay.core.errors import Refusal, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.config import Config
    from relay.core.doctor import Diagnosis
    from relay.core.model import Source
    from relay.keys import Known


class Posted(NamedTuple):
    """What is to be verified: the source it was posted to, the signatures it came with, and its body.

    `key_id` is the key under which it was accepted, None when it was not; `query` is None when it was not kept.
    """

    source: Source
    signatures: Sequence[str]
    body: bytes
    key_id: str | None = None
    query: str | None = None


@click.command(short_help="Say whether a saved request is authentic, and if not, why.")
@click.argument("request", metavar="FILE|-|DELIVERY|REJECTED")
@click.option("--source", "name", metavar="NAME", help="The source it was posted to; by default found by its path.")
@click.option("--explain", is_flag=True, help="If it is not authentic, try what goes wrong in practice.")
@config_option
@json_option
def verify(request: str, name: str | None, explain: bool, path: Path, as_json: bool) -> None:  # noqa: FBT001 - flags
    """Say whether a request is authentic under the keys of today.

    It is a FILE (or - for standard input) with a raw HTTP request or an entry of a HAR file, a DELIVERY of the spool,
    or the id of one that was REJECTED, from `relay rejected list`. Exit 1 when it is not authentic, or the query of a
    FILE is not what its source asks for; networks are not judged. No key is ever shown.
    """
    config = load_config(path)
    if _is_rejected(request):
        posted = _rejected(config, request, name, as_json=as_json)
    else:
        posted = _stored(config, request, name) if _is_delivery(request) else _saved(config, request, name)
    known, name = keyed(config), posted.source.name
    try:
        key_id = key_of(known.good[name], posted.signatures, posted.body)
    except Rejected as rejected:
        found = _examined(known, posted, explain=explain)
        _tell_rejected(posted, rejected, found, explain=explain, as_json=as_json)
        leave(NO)
    refused = _refused(posted)
    if as_json:
        told = {"authentic": True, "source": name, "key": key_id}
        click.echo(json.dumps(told | ({"refused": Refusal.BAD_QUERY, "why": refused} if refused else {})))
    else:
        but = f", but refused: {Refusal.BAD_QUERY}, {safe(refused)}" if refused else ""
        click.echo(f"authentic{but}: signed with key {key_id} of the source {name}")
        if posted.source.gate.networks:
            click.echo("  whether it came from a network of the source is not judged")
    if refused:
        leave(NO)


def _refused(posted: Posted) -> str | None:
    """Say what of its query is not as the source asks, None when nothing is, or the query was not kept."""
    from yarl import URL

    gate = posted.source.gate
    if posted.query is None:
        return None
    query = URL.build(query_string=posted.query, encoded=True).query
    given = {name: query.getall(name, []) for name in gate.query}
    return gate.misses(given) or None


def _examined(known: Known, posted: Posted, *, explain: bool) -> Diagnosis | None:
    """Find out why it is not authentic; without `explain`, only whether its key is retired."""
    from relay.core.doctor import Diagnosis, Mistake, diagnose

    name, signatures, body = posted.source.name, posted.signatures, posted.body
    key_id = posted.key_id if posted.key_id in known.retired[name] else None
    with suppress(Rejected):
        key_id = key_of(known.over[name], signatures, body)
    if key_id:
        return Diagnosis(name, key_id, (Mistake("that key is retired", "have the sender sign with the key of now"),))
    posted_to_first = sorted(known.good.values(), key=lambda source: source.name != name)
    return diagnose(posted_to_first, signatures, body) if explain else None


def _is_rejected(request: str) -> bool:
    from relay.rejected import ID

    return ID.fullmatch(request) is not None and not Path(request).exists()


def _rejected(  # noqa: RET503 - `leave` does not return
    config: Config, named: str, name: str | None, *, as_json: bool
) -> Posted:
    """Ask the running relay for a refused request; without its body, what was found when it came is all there is."""
    from relay.cli.rejecting import remembered

    one = remembered(config, named)
    if one.body is not None:
        return Posted(source_named(config, name or one.source), one.values("Signature"), one.body)
    unread = one.size is None
    if as_json:
        click.echo(json.dumps({
            "authentic": None if unread else False, "source": one.source, "reason": one.reason, "fits": None,
            "verdict": one.verdict,
        }))  # fmt: skip
    else:
        where = safe(one.source or one.path)
        click.echo(f"{'refused' if unread else 'not authentic'}: {one.reason}, when it came to {where}")
        if one.verdict or not unread:
            click.echo(f"  {safe(one.verdict or 'it was not examined')}")
        if unread:
            click.echo("  it was refused before its body was looked at: whether it is authentic is not known")
        else:
            click.echo("  its body is not kept: with rejected.keep_bodies it would be verified again")
    leave(NO)


def _is_delivery(request: str) -> bool:
    return request.isdecimal() or (request != "-" and not Path(request).exists())


def _stored(config: Config, named: str, name: str | None) -> Posted:
    from relay.cli.lookup import look_up

    delivery = look_up(config, named, name, as_json=False, aside="; nor is there a file of that name").delivery
    return Posted(source_named(config, name or delivery.source), [delivery.signature], delivery.body, delivery.key_id)


def _saved(config: Config, file: str, name: str | None) -> Posted:
    from relay.cli import saved

    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        request = saved.read(text)
    except OSError as error:
        raise click.BadParameter(f"{file!r}: {error.strerror}", param_hint="FILE") from None
    except saved.UnreadableError as error:
        raise click.BadParameter(f"{file!r} is {error}", param_hint="FILE") from None
    served = [source for source in config.sources if source.path == request.path]
    source = served[0] if served and name is None else source_named(config, name)
    return Posted(source, request.values("Signature"), request.body, query=request.query)


def _tell_rejected(
    posted: Posted, rejected: Rejected, found: Diagnosis | None, *, explain: bool, as_json: bool
) -> None:
    from relay.core.doctor import sentence_of

    source, refusal = posted.source, rejected.refusal
    verdict = sentence_of(found, len(posted.body)) if explain or found else None
    if as_json:
        fits = None if found is None else {
            "source": found.source, "key": found.key_id, "mistakes": [mistake._asdict() for mistake in found.mistakes],
        }  # fmt: skip
        click.echo(json.dumps({
            "authentic": False, "source": source.name, "reason": refusal, "fits": fits, "verdict": verdict,
        }))  # fmt: skip
        return
    click.echo(f"not authentic: {refusal}, by the keys of the source {source.name}")
    if found is not None:
        click.echo(f"  it would fit key {found.key_id} of the source {found.source}, but")
        for mistake in found.mistakes:
            click.echo(f"  - {mistake.what}\n    mend: {mistake.mend}")
    elif verdict:
        click.echo(f"  {verdict}")
    else:
        click.echo("  --explain tries what goes wrong in practice")
