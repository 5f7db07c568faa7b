"""The keys of the sources: listed, fetched, retired. Never shown: a key goes by its fingerprint."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from relay.cli.exits import NO, fail
from relay.cli.options import config_option, json_option, load_config, source_named
from relay.cli.text import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.config import Config
    from relay.keys import KeyRow, KeysAsked

FINGERPRINT = "[0-9a-f]{8}"

source_option = click.option("--source", "name", help="Only this source's.")


@click.group(short_help="List, fetch and retire signature keys.")
def keys() -> None:
    """List, fetch and retire the keys that deliveries are signed with; each goes by its fingerprint."""


@keys.command("list", short_help="List the keys by their fingerprints.")
@source_option
@config_option
@json_option
def list_(name: str | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """List the keys by their fingerprints: where each came from, when it was first seen and last used, when it ends."""
    config = load_config(path)
    from relay.keys import Listing

    _tell(_answer(path, config, Listing(_source(config, name))), as_json=as_json)


@keys.command(short_help="Fetch the key from Syskit Point now.")
@source_option
@config_option
@json_option
def fetch(name: str | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """Fetch the key of each source from Syskit Point, and list the keys. Exit 1 when one could not be fetched."""
    config = load_config(path)
    from relay.keys import Fetching

    _tell(_answer(path, config, Fetching(_source(config, name))), as_json=as_json)


@keys.command(short_help="Let a leaked key never be good again.")
@click.argument("fingerprint")
@source_option
@config_option
@json_option
def retire(fingerprint: str, name: str | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """Let a leaked key never be good again, at once and for ever, also if the configuration or Syskit Point gives it.

    Generate a new key in Syskit Point's settings first: while it signs with this one, its deliveries are refused, with
    503 where the key is fetched or was the last one, else with 401.
    """
    import re

    if not re.fullmatch(FINGERPRINT, fingerprint):
        raise click.BadParameter("is 8 hexadecimal digits, as relay keys list shows them", param_hint="FINGERPRINT")
    config = load_config(path)
    from relay.keys import Retiring, State

    rows = _answer(path, config, Retiring(fingerprint, _source(config, name)))
    _tell(rows, as_json=as_json)
    good = {row.source for row in rows if row.state is not State.RETIRED}
    for source in dict.fromkeys(row.source for row in rows if row.source not in good):
        click.echo(
            f"{source} has no key now: its deliveries are answered 503 until one is fetched or configured", err=True
        )


def _source(config: Config, name: str | None) -> str | None:
    return None if name is None else source_named(config, name).name


def _answer(path: Path, config: Config, asked: KeysAsked) -> Sequence[KeyRow]:
    """Ask the relay that runs, or do it here."""
    import msgspec

    from relay import logs
    from relay.app import keys_at_rest
    from relay.cli.line import Line
    from relay.core.errors import Unavailable
    from relay.keys import KEY_PAGES, KeyRow
    from relay.spool import InUse, in_use

    logs.configure("warning", config.log.format, sys.stderr.buffer, os.environ)
    if not in_use(config.spool.path):
        try:
            return keys_at_rest(config, asked)
        except InUse:
            pass
        except Unavailable as error:
            fail(str(error), NO)
    page = next(page for page, kind in KEY_PAGES.items() if isinstance(asked, kind))
    return Line(path, config).ask(page, asked, msgspec.json.Decoder(list[KeyRow]))


def _tell(rows: Sequence[KeyRow], *, as_json: bool) -> None:
    """Print keys, one a line."""
    if as_json:
        for row in rows:
            times = {name: moment(getattr(row, name)) for name in ("first_seen", "last_used", "retires_at")}
            known = {"source": row.source, "fingerprint": row.fingerprint, "state": row.state, "origins": row.origins}
            click.echo(json.dumps({**known, **times}))
        return
    table = [("SOURCE", "KEY", "STATE", "FROM", "FIRST SEEN", "LAST USED", "RETIRES")]
    for row in rows:
        seen, used, end = (moment(at) or "-" for at in (row.first_seen, row.last_used, row.retires_at))
        table.append((row.source, row.fingerprint, row.state, ", ".join(row.origins) or "-", seen, used, end))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    if not rows:
        click.echo("there is no key", err=True)
