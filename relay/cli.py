"""The command line: what each verb takes, prints and exits with.

Data goes to stdout, everything else to stderr. Exit 0; 1 the answer is no; 2 usage; 70 something
unexpected; 78 configuration. Parts are imported when a verb needs them, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import click

from relay import __version__

if TYPE_CHECKING:
    from relay.config import Config
    from relay.core.model import Source

NO, UNEXPECTED, CONFIGURATION = 1, 70, 78
ACCEPTED = 202
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
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay")
def cli() -> None:
    """Take signed Syskit Point webhooks in, publish CloudEvents to Kafka."""


@cli.command(short_help="Run the relay until it is told to stop.")
@config_option
def run(path: Path) -> None:
    """Run the relay until SIGTERM or Ctrl-C; a second one makes it leave at once."""
    config = _load(path)
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
        _leave(UNEXPECTED)
    except* Exception as group:
        for error in _leaves(group):
            log.critical("relay.failed", error=repr(error), exc_info=error)
        _leave(UNEXPECTED)


@cli.command(short_help="Check a configuration file.")
@config_option
@click.option("--no-secrets", is_flag=True, help="Do not read secret files and variables; they need not be there.")
@json_option
def validate(path: Path, no_secrets: bool, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Check a configuration file: print its sources and routes, or all its faults at once."""
    config = _load(path, secrets=not no_secrets, as_json=as_json)
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


@cli.command(short_help="Sign a file, post it, print the receipt.")
@click.argument("file", type=click.File("rb"))
@click.option("--source", "name", required=True, help="The source to send as; its first key signs.")
@click.option("--url", help="Where to post; by default the relay on this machine, at the source's path.")
@config_option
def send(file: BinaryIO, name: str, url: str | None, path: Path) -> None:
    """Sign FILE (or - for standard input) as Syskit Point does, post it, and print the receipt."""
    from http.client import HTTPException

    from relay.core.errors import Rejected
    from relay.sandbox import sender

    config = _load(path)
    source = _source(config, name)
    body = file.read()
    url = url or f"http://127.0.0.1:{config.listen.port}{source.path}"
    try:
        answer = sender.post(url, sender.headers_for(source, body), body)
    except Rejected as error:
        _fail(f"cannot be signed: {error}", NO)
    except (OSError, ValueError, HTTPException) as error:
        _fail(f"cannot post to {url.partition('?')[0]}: {error}", NO)
    click.echo(answer.text)
    if answer.status == ACCEPTED and not answer.accepted:
        _fail(f"kept as a dead letter: {answer.fields.get('reason')}; the relay's log says why", NO)
    if not answer.accepted:
        _fail(f"not accepted: HTTP {answer.status}", NO)


@cli.command(short_help="Ask the running relay whether it is ready.")
@config_option
@click.option("--timeout", default=2.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
def healthcheck(path: Path, timeout: float, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """Ask the running relay whether it is ready (`/readyz`); exit 1 when it is not."""
    from relay.health import ask_ready

    admin = _load(path).admin
    ready, text = ask_ready(admin.host, admin.port, timeout, as_json=as_json)
    click.echo(text)
    if not ready:
        _leave(NO)


@cli.command(short_help="Show the relay at work, with Kafka embedded.")
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
        _fail("the demo needs confluent-kafka: pip install 'syskit-point-relay[demo]'", NO)
    except KeyboardInterrupt:
        return  # Ctrl-C is how a demo ends, also while it starts
    sandbox.show(once=once, bootstrap=bootstrap, port=port)


def main() -> NoReturn:
    """Run the command line and exit; what nobody expected is one line and exit 70."""
    try:
        cli.main(standalone_mode=True)
    except Exception as error:  # noqa: BLE001 - a traceback helps nobody who runs a command
        _fail(f"unexpected {type(error).__name__}: {error}", UNEXPECTED)
    raise SystemExit(0)


def _load(path: Path, *, secrets: bool = True, as_json: bool = False) -> Config:
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
        _leave(CONFIGURATION)


def _source(config: Config, name: str) -> Source:
    for source in config.sources:
        if source.name == name:
            return source
    names = ", ".join(source.name for source in config.sources)
    raise click.BadParameter(f"{name!r} is not configured; there are: {names}", param_hint="--source")


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """Give the errors of a group, however deep they are nested."""
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"relay: {message}", err=True)
    _leave(code)


def _leave(code: int) -> NoReturn:
    raise SystemExit(code)
