"""Deliveries sent as Syskit Point sends them: one by hand, and the demo's samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import click

from relay.cli.exits import NO, UNEXPECTED, fail
from relay.cli.keyed import keyed
from relay.cli.options import config_option, load_config, source_named
from relay.cli.text import safe, safe_block

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = 202


@click.command(short_help="Sign a file, post it, print the receipt.")
@click.argument("file", type=click.File("rb"))
@click.option("--source", "name", help="The source to send as; needed when several are configured.")
@click.option("--url", help="Where to post; by default the relay on this machine, at the source's path.")
@config_option
def send(file: BinaryIO, name: str | None, url: str | None, path: Path) -> None:
    """Sign FILE (or - for standard input) as Syskit Point does, post it, and print the receipt.

    The source's first key signs; where it lists none, the newest one that the relay fetched from Syskit Point.
    """
    from http.client import HTTPException
    from urllib.parse import urlencode

    from relay.core.errors import Rejected
    from relay.sandbox import sender

    config = load_config(path)
    source = source_named(config, name)
    if not source.keys:
        source = replace(source, keys=keyed(config).good[source.name].keys[-1:])
    if not source.keys:
        fail(f"the source {source.name} has no key to sign with yet; fetch it: relay keys fetch", NO)
    body = file.read()
    query = urlencode({name: secret.decode() for name, secret in source.gate.query.items()})
    url = url or f"http://127.0.0.1:{config.listen.port}{source.path}" + (f"?{query}" if query else "")
    try:
        answer = sender.post(url, sender.headers_for(source, body), body)
    except Rejected as error:
        fail(f"cannot be signed: {error}", NO)
    except (OSError, ValueError, HTTPException) as error:
        fail(f"cannot post to {url.partition('?')[0]}: {error}", NO)
    click.echo(safe_block(answer.text.encode()))
    if answer.status == ACCEPTED and not answer.accepted:
        fields = answer.fields
        reason, number = safe(str(fields.get("reason"))), safe(str(fields.get("delivery")))
        fail(f"kept as a dead letter: {reason}; see: relay explain {number}", NO)
    if not answer.accepted:
        fail(f"not accepted: HTTP {answer.status}", NO)


@click.command(short_help="Show the relay at work, with Kafka embedded.")
@click.option("--once", is_flag=True, help="Leave after the samples.")
@click.option("--kafka", "bootstrap", metavar="HOST:PORT", help="Use this cluster in place of the embedded one.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Where to listen; by default any free port.")
def demo(once: bool, bootstrap: str | None, port: int) -> None:  # noqa: FBT001 - click's flags
    """Show the relay at work: signed deliveries in, and the records as a subscriber reads them."""
    try:
        from relay.sandbox import demo as sandbox
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        fail("the demo needs confluent-kafka: in the repository, pip install '.[demo]'", UNEXPECTED)
    except KeyboardInterrupt:
        return  # Ctrl-C is how a demo ends, also while it starts
    sandbox.show(once=once, bootstrap=bootstrap, port=port)
