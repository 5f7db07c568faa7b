"""The relay that runs: started, and asked whether it is ready."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from relay.cli.exits import NO, UNEXPECTED, leave
from relay.cli.options import config_option, json_option, load_config

if TYPE_CHECKING:
    from pathlib import Path


@click.command(short_help="Run the relay until it is told to stop.")
@config_option
def run(path: Path) -> None:
    """Run the relay until SIGTERM or Ctrl-C; a second one makes it leave at once."""
    config = load_config(path)
    import structlog

    from relay import app, logs
    from relay.core.errors import Unavailable

    logs.configure(config.log.level, config.log.format, sys.stderr.buffer, os.environ)
    log = structlog.get_logger()
    log.info("config.loaded", path=str(path))
    try:
        asyncio.run(app.run(config))
    except* (Unavailable, OSError) as group:
        for error in _leaves(group):
            log.critical("relay.failed", error=str(error))
        leave(UNEXPECTED)
    except* Exception as group:
        for error in _leaves(group):
            log.critical("relay.failed", error=repr(error), exc_info=error)
        leave(UNEXPECTED)


@click.command(short_help="Ask the running relay whether it is ready.")
@config_option
@click.option("--timeout", default=2.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
def healthcheck(path: Path, timeout: float, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """Ask the running relay whether it is ready (`/readyz`); exit 1 when it is not."""
    from relay.health import ask_ready

    admin = load_config(path, secrets=False).admin  # only where it listens is asked
    ready, text = ask_ready(admin.host, admin.port, timeout, as_json=as_json)
    click.echo(text)
    if not ready:
        leave(NO)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """Give the errors of a group, however deep they are nested."""
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves
