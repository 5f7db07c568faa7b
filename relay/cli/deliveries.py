"""The deliveries that the spool holds: listed, and shown one by one."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from relay.cli.options import config_option, json_option, load_config, secrets_option, source_named
from relay.cli.text import Moment, as_text, safe_block
from relay.core.errors import Reason
from relay.core.model import Status

if TYPE_CHECKING:
    from pathlib import Path

    from relay.config import Config
    from relay.spool import Kept


@click.group(short_help="List and show what the spool holds; replay and discard.")
def deliveries() -> None:
    """List and show the deliveries that the spool holds, replay them, or give dead letters up.

    All of it whether the relay runs or not; list and show change nothing.
    """


@deliveries.command("list", short_help="List deliveries, newest first.")
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Only those with this status.")
@click.option("--type", "kind", metavar="TYPE", help="Only events of this type, as Syskit Point names it.")
@click.option("--source", metavar="NAME", help="Only those of this source.")
@click.option("--id", "event_id", metavar="ID", help="Only those whose event has this id.")
@click.option("--reason", type=click.Choice([reason.value for reason in Reason]), help="Only those dead for this.")
@click.option("--since", type=Moment(), metavar="TIME", help="Received at or after; RFC 3339, or as in 30m, 2h, 7d.")
@click.option("--until", type=Moment(), metavar="TIME", help="Received before.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="How many at most; 0 for all.")
@click.option("--before", type=click.IntRange(1), metavar="DELIVERY", help="Only numbers below: the next page.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="DELIVERY", help="Only numbers above.")
@click.option("--oldest-first", is_flag=True, help="In order of acceptance.")
@config_option
@json_option
def list_(  # noqa: PLR0913, PLR0917 - click's options
    status: str | None,
    kind: str | None,
    source: str | None,
    event_id: str | None,
    reason: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    before: int | None,
    after: int,
    oldest_first: bool,  # noqa: FBT001 - click's flag
    path: Path,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """List deliveries, newest first: a table, or with --json one object a line. All filters must hold."""
    config = load_config(path, secrets=False)
    from relay.cli.lookup import browsing, tell_list
    from relay.spool import Wanted

    wanted = Wanted(
        Status(status) if status else None, kind, source, event_id, Reason(reason) if reason else None, since, until
    )
    with browsing(config) as browser:
        found = browser.list(wanted, after=after, before=before, oldest_first=oldest_first)
        last = tell_list(islice(found, limit or None), as_json=as_json)
        more = next(found, None) is not None
    if source is not None and not last:
        source_named(config, source)  # one that is configured no more may still have deliveries
    if not last:
        click.echo("no delivery is like that", err=True)
    if more:
        click.echo(f"there are more: {'--after' if oldest_first else '--before'} {last}", err=True)


@deliveries.command("show", short_help="Show one delivery, and verify its signature again.")
@click.argument("delivery")
@click.option("--source", metavar="NAME", help="The source, where an event's id alone is not unique.")
@click.option("--body", is_flag=True, help="Show the body too, with what a terminal would obey escaped.")
@click.option("--signature", is_flag=True, help="Show the signature too.")
@click.option("--raw", is_flag=True, help="Write the body alone, byte for byte as it was signed.")
@secrets_option
@config_option
@json_option
def show(  # noqa: PLR0913, PLR0917 - click's options
    delivery: str,
    source: str | None,
    body: bool,  # noqa: FBT001 - click's flags
    signature: bool,  # noqa: FBT001 - click's flag
    raw: bool,  # noqa: FBT001 - click's flag
    no_secrets: bool,  # noqa: FBT001 - click's flag
    path: Path,
    as_json: bool,  # noqa: FBT001 - click's flag
) -> None:
    """Show what happened to DELIVERY, a number of the spool or the id of an event, and verify its signature again.

    Exit 0 when it is kept, else 1; whether its signature verifies does not change that.
    """
    if raw and (body or signature or as_json):
        raise click.UsageError("--raw writes the body and nothing else")
    if raw and sys.stdout.isatty():
        raise click.UsageError("--raw is for a file or a pipe: a body may hold anything")
    config = load_config(path, secrets=not (no_secrets or raw))
    from relay.cli.exits import NO, fail
    from relay.cli.lookup import look_up
    from relay.cli.today import BODY_SWEPT

    kept = look_up(config, delivery, source, as_json=as_json)
    if kept.body_swept and (raw or body):
        fail(f"delivery {kept.listed.number}: {BODY_SWEPT}; without --body or --raw the rest is shown", NO)
    if raw:
        sys.stdout.buffer.write(kept.delivery.body)
        return
    _tell(config, kept, body=body, signature=signature, secrets=not no_secrets, as_json=as_json)


def _tell(config: Config, kept: Kept, *, body: bool, signature: bool, secrets: bool, as_json: bool) -> None:  # noqa: PLR0913 - what may be shown
    from relay.cli.account import account_fields, tell_account
    from relay.cli.today import account_of

    account = account_of(config, kept, secrets=secrets)
    delivery = kept.delivery
    if as_json:
        fields = account_fields(kept, account)
        fields |= {"signature": delivery.signature} if signature else {}
        fields |= as_text(delivery.body, "body") if body else {}
        click.echo(json.dumps(fields))
        return
    tell_account(kept, account)
    if signature:
        click.echo(f"signature\n{safe_block(delivery.signature.encode(errors='replace'))}")
    if body:
        click.echo(f"body\n{safe_block(delivery.body)}")
