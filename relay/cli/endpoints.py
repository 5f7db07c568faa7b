"""The endpoints at Syskit Point: listed, registered, deleted, and made to be as configured.

Asked directly, whether a relay runs or not; one that runs sees it when it looks the next time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, TypeVar

import click

from relay.cli.changing import confirmed, dry_run_option, yes_option
from relay.cli.exits import NO, fail, leave
from relay.cli.options import config_option, json_option, load_config, source_named
from relay.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from relay.config import Config, PointConfig
    from relay.point import Endpoint, Point
    from relay.registration import Difference

T = TypeVar("T")

source_option = click.option("--source", "name", help="Whose Syskit Point, when several are configured.")


@click.group(short_help="List, register and delete webhook endpoints at Syskit Point.")
def endpoints() -> None:
    """List, register and delete the endpoints that Syskit Point posts to, with their queries masked."""


@endpoints.command("list", short_help="List what is registered.")
@source_option
@config_option
@json_option
def list_(name: str | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flag
    """List what is registered; the one that is configured is marked."""
    from relay.config.url import comparable, shown

    point = _point(load_config(path), name)
    ours = comparable(point.register.endpoint) if point.register else None
    for endpoint in _ask(point, lambda client: client.endpoints()):
        url, configured = safe(shown(endpoint.url)), comparable(endpoint.url) == ours
        if as_json:
            click.echo(json.dumps({"endpoint": url, "types": endpoint.types, "configured": configured}))
        else:
            mark = "  (configured)" if configured else ""
            click.echo(f"{url}  {safe(', '.join(endpoint.types))}{mark}")


@endpoints.command(short_help="Register the configured endpoint.")
@source_option
@yes_option
@dry_run_option
@config_option
@json_option
def register(name: str | None, yes: bool, dry_run: bool, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Register the configured endpoint for the configured types, if it is not. What would be done is told first."""
    _make_right(name, path, yes=yes, dry_run=dry_run, as_json=as_json, sweep=False)


@endpoints.command(short_help="Make what is registered be as configured.")
@source_option
@yes_option
@dry_run_option
@config_option
@json_option
def sync(name: str | None, yes: bool, dry_run: bool, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Register the configured endpoint, and delete those that differ from it in the query alone, which are older ones.

    The difference is told first. Endpoints of others are let be. Exit 1 when something is left to do.
    """
    _make_right(name, path, yes=yes, dry_run=dry_run, as_json=as_json, sweep=True)


@endpoints.command(short_help="Delete a registration.")
@click.argument("url", required=False)
@source_option
@yes_option
@dry_run_option
@config_option
@json_option
def delete(  # noqa: PLR0913, PLR0917 - as it is typed
    url: str | None,
    name: str | None,
    yes: bool,  # noqa: FBT001 - click's flag
    dry_run: bool,  # noqa: FBT001 - likewise
    path: Path,
    as_json: bool,  # noqa: FBT001 - likewise
) -> None:
    """Delete the registration of URL, else of the configured endpoint, which a relay that runs registers again."""
    from relay.config.url import comparable, shown

    point = _point(load_config(path), name)
    target = url or _wanted(point).url
    listed = {comparable(each.url): each.url for each in _ask(point, lambda client: client.endpoints())}
    spelled = listed.get(comparable(target))
    if spelled is None:
        fail(f"{safe(shown(target))} is not registered", NO)
    if not _sure(f"delete {safe(shown(target))}", yes=yes, dry_run=dry_run):
        return
    _ask(point, lambda client: client.delete(spelled))
    if as_json:
        click.echo(json.dumps({"endpoint": shown(target), "deleted": True}))
    else:
        click.echo(f"deleted {safe(shown(target))}")


def _make_right(  # noqa: PLR0913 - how it is asked for
    name: str | None, path: Path, *, yes: bool, dry_run: bool, as_json: bool, sweep: bool
) -> None:
    """Tell the difference, and do away with it."""
    from relay.config.url import shown
    from relay.registration import Finding, difference

    point = _point(load_config(path), name)
    wanted = _wanted(point)
    found = difference(wanted, _ask(point, lambda client: client.endpoints()))
    stale = found.stale if sweep else ()
    if found.finding is Finding.RIGHT and not stale:
        _tell(found, as_json=as_json)
        return
    if not yes or dry_run:
        _tell(found, as_json=as_json)
    what = f"register {shown(wanted.url)} for {', '.join(wanted.types)}"
    todo = [safe(what)] if found.finding is not Finding.RIGHT else []
    todo += [f"delete {len(stale)} with another query"] if stale else []
    if not _sure(" and ".join(todo), yes=yes, dry_run=dry_run):
        return
    now = _ask(point, lambda client: _mend(client, found, stale))
    _tell(now, as_json=as_json)
    if now.finding is not Finding.RIGHT:
        leave(NO)


async def _mend(point: Point, found: Difference, stale: tuple[str, ...]) -> Difference:
    """Register first, so that there is always one that works."""
    from relay.registration import difference, mend

    await mend(point, found)
    for url in stale:
        await point.delete(url)
    return difference(found.wanted, await point.endpoints())


def _tell(found: Difference, *, as_json: bool) -> None:
    from relay.config.url import shown

    if as_json:
        about = {"endpoint": shown(found.wanted.url), "finding": found.finding, "wanted": found.wanted.types}
        click.echo(json.dumps({**about, "registered": found.types, "stale": [shown(url) for url in found.stale]}))
    else:
        click.echo(safe(str(found)))


def _sure(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Tell whether to do something; end with 1 when nobody is there to say so. A dry run says what, and does not."""
    if dry_run:
        click.echo(f"would {what}", err=True)
        leave(NO)
    if not yes and not confirmed(f"{what}?"):
        click.echo("nothing was changed; with --yes it is done", err=True)
        leave(NO)
    return True


def _wanted(point: PointConfig) -> Endpoint:
    from relay.point import Endpoint

    if point.register is None:
        fail("sources.*.point.register names no endpoint: put it into the configuration", NO)
    return Endpoint(point.register.endpoint, point.register.types)


def _point(config: Config, name: str | None) -> PointConfig:
    """Give the API of the source that is named, or of the only one that has one."""
    if name is None and len(config.points) == 1:
        return next(iter(config.points.values()))
    source = source_named(config, name)
    if source.name not in config.points:
        fail(f"sources.{source.name}.point is not configured, so there is no Syskit Point to ask", NO)
    return config.points[source.name]


def _ask(config: PointConfig, question: Callable[[Point], Awaitable[T]]) -> T:
    """Ask Syskit Point, or end with a sentence that says what to do."""
    from relay import logs
    from relay.point import Point, PointError

    async def ask() -> T:
        async with Point(config) as point:
            return await question(point)

    logs.configure("warning", "auto", sys.stderr.buffer, os.environ)
    try:
        return asyncio.run(ask())
    except PointError as error:
        fail(str(error), NO)
