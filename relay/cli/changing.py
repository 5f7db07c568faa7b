"""The changes to deliveries: replayed and discarded."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from relay.cli.exits import NO, leave
from relay.cli.options import config_option, json_option, load_config
from relay.cli.selection import selecting
from relay.cli.text import safe
from relay.core.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.changes import Asked, Change
    from relay.cli.selection import Selection

SHOWN = 20  # lines of many that look alike

yes_option = click.option("--yes", is_flag=True, help="Do it, without being asked.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command(short_help="Publish deliveries anew, dead letters above all.")
@selecting(Status.DEAD, Status.PUBLISHED, Status.DROPPED)
@click.option("--topic", help="Into this topic, whatever the rules say.")
@click.option("--again", is_flag=True, help="Also those that were replayed already.")
@yes_option
@dry_run_option
@config_option
@json_option
def replay(  # noqa: PLR0913, PLR0917 - click's options
    selection: Selection,
    topic: str | None,
    again: bool,  # noqa: FBT001 - click's flags
    yes: bool,  # noqa: FBT001 - click's flag
    dry_run: bool,  # noqa: FBT001 - click's flag
    path: Path,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Publish deliveries anew, by the rules of today: by number or event id, or all that the filters let through.

    What would be done is told first. Each replay is a delivery of its own at the end of the order, its records have
    the header relay-replay, and a dead letter counts as dropped once its replay is stored. Exit 1 when anything was
    left as it is.
    """
    from relay.changes import Replaying

    _change(
        path, selection, Replaying((), topic, again), ("replay", "replayed"), yes=yes, dry_run=dry_run, as_json=as_json
    )


@click.command(short_help="Give dead letters up, with a reason.")
@selecting(Status.DEAD)
@click.option("--because", metavar="TEXT", required=True, help="Why; it is kept with the delivery.")
@yes_option
@dry_run_option
@config_option
@json_option
def discard(  # noqa: PLR0913, PLR0917 - click's options
    selection: Selection,
    because: str,
    yes: bool,  # noqa: FBT001 - click's flags
    dry_run: bool,  # noqa: FBT001 - click's flag
    path: Path,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Give dead letters up: by number or event id, or all that the filters let through; at rest also replays that wait.

    What would be done is told first, unless --yes is given. They count as dropped then, and leave the spool with age
    as other settled ones.
    Exit 1 when anything was left as it is.
    """
    from relay.changes import Discarding

    if not 0 < len(because.strip()) <= 1_000:  # noqa: PLR2004 - as relay.changes has it
        raise click.BadParameter("say why, in 1 to 1000 characters", param_hint="--because")
    _change(
        path,
        selection,
        Discarding((), because.strip()),
        ("discard", "discarded"),
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )


def _change(  # noqa: PLR0913 - a change, and how it is asked for
    path: Path, selection: Selection, asked: Asked, words: tuple[str, str], *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Tell what would be done, make sure that it is meant, and do it; `words` are for the two."""
    config = load_config(path, secrets=False)
    from relay.cli.way import Way

    numbers = tuple(selection.numbers(config))
    if not numbers:
        click.echo("no delivery is like that", err=True)
        return
    way = Way(path, config)
    planned = list(way.look(replace(asked, deliveries=numbers)))
    possible = tuple(change.delivery for change in planned if not change.refused)
    left = [change for change in planned if change.refused]
    sure = yes and not dry_run
    if not sure or not possible:
        _tell(planned, f"would {words[0]}", as_json=as_json)
    if not possible or dry_run:
        leave(NO if left else 0)
    if not sure and not confirmed(f"{words[0]} {_counted(possible)}?"):
        click.echo("nothing was changed; with --yes it is done", err=True)
        leave(NO)
    made: list[Change] = []
    try:
        way.make(replace(asked, deliveries=possible), made)
    finally:  # also what was done before it broke off
        _tell([*made, *(left if sure else ())], words[1], as_json=as_json)
    if left or any(change.refused for change in made):
        leave(NO)


def confirmed(question: str) -> bool:
    """Ask the person at the terminal; nobody there has not confirmed."""
    return sys.stdin.isatty() and click.confirm(question, err=True)


def _tell(changes: Sequence[Change], word: str, *, as_json: bool) -> None:
    """Print changes: all of them for programs, and for people so many of each kind."""
    if as_json:
        for change in changes:
            click.echo(json.dumps(msgspec.to_builtins(change)))
        return
    done = [change for change in changes if not change.refused]
    left = [change for change in changes if change.refused]
    if done:
        click.echo(f"{word} {_counted(done)}")
        _tell_some([_done(change) for change in done])
    if left:
        click.echo(f"left as {'it is' if len(left) == 1 else 'they are'}: {_counted(left)}")
        _tell_some([f"{change.delivery}: {safe(change.refused or '')}" for change in left])


def _done(change: Change) -> str:
    number = f"{change.delivery} as {change.replay}" if change.replay else str(change.delivery)
    return "  ".join(
        [number, *filter(None, [change.reason]), *([f"into {', '.join(change.topics)}"] * bool(change.topics))]
    )


def _tell_some(told: Sequence[str]) -> None:
    for line in told[:SHOWN]:
        click.echo(f"  {line}")
    if len(told) > SHOWN:
        click.echo(f"  and {len(told) - SHOWN} more, all of which --json tells")


def _counted(what: Sequence[object]) -> str:
    return f"{len(what)} deliver{'y' if len(what) == 1 else 'ies'}"
