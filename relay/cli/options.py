"""Options: what several verbs take, and the configuration that they name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli.exits import CONFIGURATION, leave

if TYPE_CHECKING:
    from relay.config import Config
    from relay.core.model import Source

DEFAULT_CONFIG = "config/relay.yaml"

config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    envvar="RELAY_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=f"$RELAY_CONFIG, then {DEFAULT_CONFIG}",
    help="The configuration file.",
)
secrets_option = click.option(
    "--no-secrets", is_flag=True, help="Do not read secret files and variables; they need not be there."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def load_config(path: Path, *, secrets: bool = True, as_json: bool = False) -> Config:
    """Read the configuration, or tell all its faults and end."""
    import json

    from relay.config import Faulty, load

    try:
        return load(path, os.environ, secrets=secrets)
    except Faulty as faulty:
        if as_json:
            faults = [{"line": one.line, "col": one.col, "path": one.path, "what": one.what} for one in faulty.faults]
            click.echo(json.dumps({"ok": False, "faults": faults}))
        color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        click.echo(faulty.render(color), err=True, color=color)
        if path == Path(DEFAULT_CONFIG) and not path.exists():
            click.echo("name a file with -c FILE or RELAY_CONFIG", err=True)
        if secrets and _goes_without(path):
            click.echo("with --no-secrets nothing of this is needed", err=True)
        leave(CONFIGURATION)


def _goes_without(path: Path) -> bool:
    """Tell whether the verb has `--no-secrets`, and would find nothing wrong with it."""
    from relay.config import Faulty, load

    if all(option.name != "no_secrets" for option in click.get_current_context().command.params):
        return False
    try:
        load(path, os.environ, secrets=False)
    except Faulty:
        return False
    return True


def source_named(config: Config, name: str | None) -> Source:
    """Give a source by its name, or the only one, or tell which there are and end."""
    names = ", ".join(source.name for source in config.sources)
    if name is None and len(config.sources) > 1:
        raise click.UsageError(f"several sources are configured: say which with --source ({names})")
    for source in config.sources:
        if name in {None, source.name}:
            return source
    raise click.BadParameter(f"{name!r} is not configured; there are: {names}", param_hint="--source")
