"""A selection: the deliveries that a change is for, named one by one or by what they have in common."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from relay.cli.options import source_named
from relay.cli.text import Moment
from relay.core.errors import Reason
from relay.core.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.config import Config

FILTERS = ("status", "kind", "source", "reason", "since", "until")
_OPTIONS = (
    click.option("--type", "kind", metavar="TYPE", help="Events of this type, as Syskit Point names it."),
    click.option("--source", metavar="NAME", help="Those of this source."),
    click.option("--reason", type=click.Choice([reason.value for reason in Reason]), help="Those dead for this."),
    click.option(
        "--since", type=Moment(), metavar="TIME", help="Received at or after; RFC 3339, or as in 30m, 2h, 7d."
    ),
    click.option("--until", type=Moment(), metavar="TIME", help="Received before."),
)


class Selection(NamedTuple):
    """Names, or filters that must all hold; a source may stand beside names, where an event's id is not unique."""

    names: tuple[str, ...]
    filters: dict[str, Any]

    def numbers(self, config: Config) -> list[int]:
        """Give the deliveries' numbers in order of acceptance, or say what is not there and end."""
        from relay.cli.lookup import browsing, look_up
        from relay.spool import Wanted

        source = self.filters["source"]
        if self.names:
            return sorted({look_up(config, name, source, as_json=False).listed.number for name in self.names})
        reason = self.filters["reason"]
        wanted = Wanted(
            status=Status(self.filters["status"] or Status.DEAD),
            type=self.filters["kind"],
            source=source,
            reason=Reason(reason) if reason else None,
            since=self.filters["since"],
            until=self.filters["until"],
        )
        with browsing(config) as browser:
            found = browser.list(wanted, oldest_first=True)
            # A copy is no further event: it is meant only where it is dead, or by its name.
            numbers = [listed.number for listed in found if listed.status is Status.DEAD or not listed.is_copy]
        if source is not None and not numbers:
            source_named(config, source)  # one that is configured no more may still have deliveries
        return numbers


def selecting(*statuses: Status) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the argument and options of a selection, which it gets as `selection`."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def selected(*, names: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's options
            filters = {name: options.pop(name) for name in FILTERS}
            given = [name for name, value in filters.items() if value is not None]
            if names and set(given) - {"source"}:
                raise click.UsageError("name deliveries, or say what they have in common; not both")
            if not names and not given:
                raise click.UsageError("say which deliveries: by number or event id, or as in --status dead")
            verb(selection=Selection(names, filters), **options)

        word = click.Choice([status.value for status in statuses])
        options = (
            click.argument("names", nargs=-1, metavar="[DELIVERY]..."),
            click.option("--status", type=word, help="All with this status; dead when only other filters are given."),
            *_OPTIONS,
        )
        for option in reversed(options):
            selected = option(selected)
        return selected

    return decorate
