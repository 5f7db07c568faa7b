"""The configuration, looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from relay.cli.options import config_option, json_option, load_config, secrets_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.config import PointConfig
    from relay.core.model import Source


@click.command(short_help="Check a configuration file.")
@config_option
@secrets_option
@json_option
def validate(path: Path, no_secrets: bool, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Check a configuration file: print its sources and routes, or all its faults at once."""
    config = load_config(path, secrets=not no_secrets, as_json=as_json)
    sources = [_source_fields(source, config.points.get(source.name)) for source in config.sources]
    routes = [
        {
            "name": route.name,
            "topics": [topic.source for topic in route.topics],
            "drop": route.drop,
            "continue": route.go_on,
        }
        for route in config.routes
    ]
    if as_json:
        click.echo(json.dumps({"ok": True, "sources": sources, "routes": routes}))
        return
    click.echo(f"ok: {path}")
    for source in config.sources:
        click.echo(f"source {source.name}: POST {source.path} -> {source.uri}")
        for line in _asked(source, config.points.get(source.name)):
            click.echo(f"  {line}")
    for route in config.routes:
        target = "dropped" if route.drop else ", ".join(topic.source for topic in route.topics)
        click.echo(f"route {route.name}: {target}{' (continue)' if route.go_on else ''}")


def _source_fields(source: Source, point: PointConfig | None) -> dict[str, object]:
    """Give a source as members for JSON; of a secret only that it is asked for."""
    from relay.config.url import shown

    fields: dict[str, object] = {"name": source.name, "path": source.path, "uri": source.uri, "keys": len(source.keys)}
    fields |= {"networks": [str(network) for network in source.gate.networks], "query": list(source.gate.query)}
    if point is None:
        return fields | {"point": None}
    fetch, register = point.fetch_key, point.register
    return fields | {"point": {
        "url": point.url, "tenant": point.tenant, "client_id": point.client_id, "scope": point.scope,
        "fetch_key": fetch and {"every": fetch.every, "overlap": fetch.overlap},
        "register": register and {
            "endpoint": shown(register.endpoint), "types": register.types, "every": register.every,
        },
    }}  # fmt: skip


def _asked(source: Source, point: PointConfig | None) -> Iterator[str]:
    """Say what is asked of a request beside its signature, and of Syskit Point; of a secret only that there is one."""
    from relay.config.url import shown

    if source.gate.networks:
        yield f"only from {', '.join(map(str, source.gate.networks))}"
    if source.gate.query:
        yield f"only with the secrets {', '.join(source.gate.query)} in the URL"
    if point is None:
        return
    yield f"Syskit Point's API: {point.url}, as {point.client_id} of {point.tenant}"
    if point.fetch_key:
        fetch = point.fetch_key
        yield f"its key is fetched every {fetch.every:g} s, and the one before stays good for {fetch.overlap:g} s"
    if point.register:
        endpoint, types, every = shown(point.register.endpoint), ", ".join(point.register.types), point.register.every
        yield f"registers {endpoint} for {types}, looked at every {every:g} s"
