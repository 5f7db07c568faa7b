"""The look into the spool: the one delivery that a person means, by its number or its event's id."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from relay.cli.account import listed_fields
from relay.cli.exits import NO, UNEXPECTED, fail, leave
from relay.cli.text import moment, safe
from relay.core.errors import Unavailable
from relay.spool import Browser, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.config import Config
    from relay.spool import Kept, Known, Listed

NUMBER_DIGITS = 18  # a longer row of digits is no number that SQLite could hold


@contextmanager
def browsing(config: Config) -> Iterator[Browser]:
    """Open the configured spool, or say why that cannot be and end; so also when it fails later."""
    path = config.spool.path
    try:
        if not path.exists():
            fail(f"there is no spool at {path}: no relay has run with this configuration (spool.path)", NO)
        with Browser(path) as browser:
            yield browser
    except (Unavailable, OSError) as error:
        fail(str(error), UNEXPECTED)


def find_one(  # noqa: RET503 - `fail` does not return
    browser: Browser, config: Config, named: str, source: str | None, *, as_json: bool
) -> Kept:
    """Find the delivery that is meant, or say what there is instead and end.

    Digits are a number, and an event's id where no delivery has that number. An id that several
    deliveries have is answered with all of them.
    """
    number = int(named) if named.isdecimal() and named.isascii() and len(named) <= NUMBER_DIGITS else None
    if number is not None and (kept := browser.find(number)):
        return kept
    found = list(browser.list(Wanted(event_id=named, source=source), oldest_first=True))
    if len(found) == 1 and (kept := browser.find(found[0].number)):
        return kept
    if found:
        tell_list(found, as_json=as_json)
        fail(f"{len(found)} deliveries have the id {safe(named)}: name one by its number", NO)
    if known := _remembered(browser, config, named, number, source):
        _tell_gone(known, as_json=as_json)
    fail(_unknown(browser.last_number(), named, number), NO)


def _unknown(last: int, named: str, number: int | None) -> str:
    if number is not None and 0 < number <= last:
        return f"delivery {number} was accepted, and has left the spool so long ago that its id is forgotten"
    what = f"no delivery {number} (the last is {last})" if number is not None else f"no delivery with id {safe(named)}"
    return f"there is {what}, neither kept nor remembered"


def tell_list(found: list[Listed], *, as_json: bool) -> None:
    """Print deliveries, each on a line: columns for people, or an object for programs."""
    if as_json:
        for listed in found:
            click.echo(json.dumps(listed_fields(listed)))
        return
    if not found:
        return
    titles = ("DELIVERY", "RECEIVED", "SOURCE", "TYPE", "STATUS", "ID")
    table = [titles, *(_cells(listed) for listed in found)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(titles) - 1)]
    for cells in table:
        head = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
        click.echo("  ".join([*head, cells[-1]]))


def _cells(listed: Listed) -> tuple[str, ...]:
    received = (moment(listed.received_at) or "")[:19] + "Z"
    fate = f"{listed.status}: {listed.reason}" if listed.reason else listed.status.value
    return str(listed.number), received, safe(listed.source), safe(listed.type or "-"), fate, safe(listed.event_id)


def _remembered(browser: Browser, config: Config, named: str, number: int | None, source: str | None) -> Known | None:
    """Find who had this number or id and has left; ids are remembered by source."""
    if number is not None and (known := browser.known(number)):
        return known
    names = [source] if source else [one.name for one in config.sources]
    found = [known for name in names if (known := browser.first_of(name, named))]
    return found[0] if found else None


def _tell_gone(known: Known, *, as_json: bool) -> NoReturn:
    accepted = moment(known.accepted_at)
    if as_json:
        click.echo(json.dumps({"delivery": known.number, "accepted": accepted, "kept": False}))
    else:
        click.echo(
            f"delivery {known.number} was accepted at {accepted}, was published or dropped, and has left the spool"
        )
        click.echo("  only such leave, by age (spool.retention) or for room")
    leave(NO)
