"""The requests that were refused lately, as the running relay remembers them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from relay.cli.exits import NO, UNEXPECTED, fail
from relay.cli.options import config_option, json_option, load_config
from relay.cli.text import moment, safe

if TYPE_CHECKING:
    from pathlib import Path

    from relay.config import Config
    from relay.rejected import Rejection

T = TypeVar("T")

TIMEOUT = 10.0
TITLES = ("ID", "AT", "SOURCE", "CLIENT", "REASON", "VERDICT")


@click.group()
def rejected() -> None:
    """Look at the requests that were refused lately."""


@rejected.command("list", short_help="List them, each with the doctor's verdict.")
@click.option("--source", "name", metavar="NAME", help="Only those of this source; none: of no source.")
@config_option
@json_option
def list_(name: str | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """List the last requests that were refused, oldest first, each with the doctor's verdict.

    The running relay remembers them, in memory: fifty of each source, and of a flood only one a second. Where it
    keeps their bodies (rejected.keep_bodies), `relay verify ID --explain` looks at one again.
    """
    config = load_config(path)
    found = [one for one in _all(config) if name is None or (one.source or "none") == name]
    if as_json:
        for one in found:
            click.echo(json.dumps({**_fields(one), "at": moment(one.at)}))
        return
    rows = [TITLES, *(_cells(one) for one in found)] if found else []
    widths = [max(len(row[at]) for row in rows) for at in range(len(TITLES) - 1)] if rows else []
    for row in rows:
        head = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*head, row[-1]]))
    if not found:
        click.echo("none was refused since the relay started, or none that is remembered", err=True)


def remembered(config: Config, named: str) -> Rejection:
    """Ask the running relay for one, with its body if that is kept; ends when it is gone."""
    from relay.rejected import Rejection

    status, text = _ask(config, f"?id={named}")
    if status == HTTPStatus.NOT_FOUND:
        fail(f"the relay remembers no refused request {named}: see relay rejected list", NO)
    return _read(config, status, text, Rejection)


def _all(config: Config) -> list[Rejection]:
    from relay.rejected import Rejection

    return _read(config, *_ask(config, ""), list[Rejection])


def _ask(config: Config, query: str) -> tuple[int, str]:
    from relay.health import NoAnswer, fetch
    from relay.rejected import PAGE

    admin = config.admin
    try:
        return fetch(admin.host, admin.port, PAGE + query, TIMEOUT, admin.token.reveal() if admin.token else None)
    except NoAnswer as error:
        fail(f"{error}; refused requests are remembered by the relay that runs, and nowhere else", UNEXPECTED)


def _read(config: Config, status: int, text: str, kind: type[T]) -> T:
    if status != HTTPStatus.OK:
        fail(f"the relay says: {safe(text.strip())}", UNEXPECTED)
    try:
        return msgspec.json.decode(text, type=kind)
    except ValueError:
        fail(f"what answers at {config.admin.host} port {config.admin.port} is no relay", UNEXPECTED)


def _fields(one: Rejection) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(one)
    return {name: value for name, value in fields.items() if name not in {"headers", "body"}}


def _cells(one: Rejection) -> tuple[str, ...]:
    at = (moment(one.at) or "")[:19] + "Z"
    return one.id, at, safe(one.source or one.path), one.client or "-", one.reason, safe(one.verdict or "-")
