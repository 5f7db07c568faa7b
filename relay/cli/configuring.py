"""The configuration, looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from relay.cli.options import config_option, json_option, load_config, secrets_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(short_help="Check a configuration file.")
@config_option
@secrets_option
@json_option
def validate(path: Path, no_secrets: bool, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Check a configuration file: print its sources and routes, or all its faults at once."""
    config = load_config(path, secrets=not no_secrets, as_json=as_json)
    sources = [{"name": source.name, "path": source.path, "uri": source.uri} for source in config.sources]
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
    for route in config.routes:
        target = "dropped" if route.drop else ", ".join(topic.source for topic in route.topics)
        click.echo(f"route {route.name}: {target}{' (continue)' if route.go_on else ''}")
