"""The look into the spool: the one delivery that a person means, by its number or its event's id."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

import click

from relay.cli.account import listed_fields
from relay.cli.exits import NO, UNEXPECTED, fail, leave
from relay.cli.options import source_named
from relay.cli.text import moment, safe
from relay.core.errors import Reason, Unavailable
from relay.spool import Browser, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.config import Config
    from relay.spool import Kept, Known, Listed

NUMBER_DIGITS = 18  # a longer row of digits is no number that SQLite could hold
CHUNK = 500  # lines laid out together
NEVER_STORED = (
    "; what is refused is not stored: `relay rejected list` has the last of it, while that relay runs, "
    "but nothing that was answered 429 or 503, which has to be sent again"
)
TITLES = ("DELIVERY", "RECEIVED", "SOURCE", "TYPE", "STATUS", "ID")


@contextmanager
def browsing(config: Config, aside: str = "") -> Iterator[Browser]:
    """Open the configured spool, or say why that cannot be and end; so also when it fails later.

    What goes wrong with the output is no matter of the spool, and is let through.
    """
    there_is(config, aside)
    try:
        with Browser(config.spool.path) as browser:
            yield browser
    except Unavailable as error:
        fail(str(error), UNEXPECTED)


def there_is(config: Config, aside: str = "") -> None:
    """Go on when the configured spool is there, else say so and end."""
    path = config.spool.path
    try:
        there = path.exists()
    except OSError as error:
        fail(f"the spool {path} cannot be read: {error.strerror}", UNEXPECTED)
    if not there:
        fail(f"there is no spool at {path}: no relay has run with this configuration (spool.path){aside}", UNEXPECTED)


def look_up(  # noqa: RET503 - `fail` does not return
    config: Config, named: str, source: str | None, *, as_json: bool, aside: str = ""
) -> Kept:
    """Find the delivery that is meant, or say what there is instead and end.

    Digits are a number, and an event's id where no delivery has that number. Copies are not meant by the id of what
    they repeat. An id that several deliveries have is answered with all of them. One that was never accepted, and is no
    number, is answered with the malformed dead letters whose bodies hold it. `aside` ends what is said when none is.
    """
    number = int(named) if named.isdecimal() and named.isascii() and len(named) <= NUMBER_DIGITS else None
    with browsing(config, aside) as browser:
        if number is not None and (kept := browser.find(number)):
            return _of_source(config, kept, source)
        found = list(browser.list(Wanted(event_id=named, source=source), oldest_first=True))
        meant = [listed for listed in found if not listed.is_copy] or found
        if len(meant) == 1 and (kept := browser.find(meant[0].number)):
            return kept
        if found:
            tell_list(iter(found), as_json=as_json)
            fail(f"{len(found)} deliveries have the id {safe(named)}: name one by its number", NO)
        if source is not None:
            source_named(config, source)
        if known := _remembered(browser, config, named, number, source):
            _tell_gone(known, browser.lost(), as_json=as_json)
        malformed = Wanted(reason=Reason.MALFORMED, source=source, holding=named.encode(errors="surrogateescape"))
        # Not for digits, which stand in many a body.
        if named and number is None and tell_list(browser.list(malformed, oldest_first=True), as_json=as_json):
            fail(f"no delivery has the id {safe(named)}; these could not be read, and it stands in their bodies", NO)
        fail(_unknown(browser.last_number(), named, number) + aside, NO)


def _of_source(config: Config, kept: Kept, source: str | None) -> Kept:  # noqa: RET503 - `fail` does not return
    """Give it when it is of that source, if one is named; else say so and end."""
    listed = kept.listed
    if source in {None, listed.source}:
        return kept
    source_named(config, source)
    fail(f"delivery {listed.number} is of the source {safe(listed.source)}", NO)


def _unknown(last: int, named: str, number: int | None) -> str:
    if number is not None and 0 < number <= last:
        return f"delivery {number} was accepted, and has left the spool so long ago that its id is forgotten"
    what = f"no delivery {number} (the last is {last})" if number is not None else f"no delivery with id {safe(named)}"
    return f"there is {what}, neither kept nor remembered{'' if number is not None else NEVER_STORED}"


def tell_list(found: Iterator[Listed], *, as_json: bool) -> int:
    """Print deliveries, each on a line: columns for people, or an object for programs; give the last one's number.

    Columns are as wide as what is laid out together needs, and never less than above.
    """
    widths, last = [len(title) for title in TITLES[:-1]], 0
    while chunk := list(islice(found, CHUNK)):
        if as_json:
            for listed in chunk:
                click.echo(json.dumps(listed_fields(listed)))
        else:
            table = [*([] if last else [TITLES]), *(_cells(listed) for listed in chunk)]
            widths = [max(width, *(len(cells[at]) for cells in table)) for at, width in enumerate(widths)]
            for cells in table:
                head = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
                click.echo("  ".join([*head, cells[-1]]))
        last = chunk[-1].number
    return last


def _cells(listed: Listed) -> tuple[str, ...]:
    received = (moment(listed.received_at) or "")[:19] + "Z"
    why = listed.withdrawn or listed.reason
    fate = f"{listed.status}: {why}" if why else listed.status.value
    return str(listed.number), received, safe(listed.source), safe(listed.type or "-"), fate, safe(listed.event_id)


def _remembered(browser: Browser, config: Config, named: str, number: int | None, source: str | None) -> Known | None:
    """Find who had this number or id and has left; ids are remembered by source."""
    if number is not None and (known := browser.known(number)):
        return known
    names = [source] if source else [one.name for one in config.sources]
    found = [known for name in names if (known := browser.first_of(name, named))]
    return found[0] if found else None


def _tell_gone(known: Known, lost: int, *, as_json: bool) -> NoReturn:
    """Say that it is not kept; that it came to a good end only where none was lost, since nobody knows which were."""
    accepted = moment(known.accepted_at or None)
    if as_json:
        maybe = {"maybe_lost": True} if lost else {}
        click.echo(json.dumps({"delivery": known.number, "accepted": accepted, "kept": False, **maybe}))
    elif lost:
        when = f"at {accepted}" if accepted else "at a time that is forgotten"
        click.echo(f"delivery {known.number} was accepted {when}, and is not in the spool any more")
        click.echo(f"  it was published or dropped and has left, or is one of {lost:,} lost with a damaged file")
    else:
        click.echo(
            f"delivery {known.number} was accepted at {accepted}, was published or dropped, and has left the spool"
        )
        click.echo("  only such leave, by age (spool.retention) or for room")
    leave(NO)
