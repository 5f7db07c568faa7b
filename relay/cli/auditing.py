"""Conservation, looked at: the spool against itself, against the metrics, and against Kafka."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from relay.cli.exits import NO, UNEXPECTED, fail, leave
from relay.cli.options import config_option, json_option, load_config
from relay.cli.text import safe, terminal
from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.audit import Books, Readback
    from relay.config import Config
    from relay.spool import Census, Row

TIMEOUT = 5.0
OK = 200
STATUSES = ("published", "pending", "dead", "dropped")


class Compared(NamedTuple):
    """What the relay that runs says, or why it is not asked; `faults` are sentences.

    `failed` tells whether one runs that should have said it.
    """

    counted: Mapping[str, int] | None
    aside: str | None = None
    faults: Sequence[str] = ()
    failed: bool = False


@click.command(short_help="Add up what was accepted against what became of it.")
@click.option("--kafka", "with_kafka", is_flag=True, help="Read the topics back, and compare every id.")
@click.option("--scratch", type=click.Path(path_type=Path), help="A folder for a large temporary file, with --kafka.")
@config_option
@json_option
def audit(with_kafka: bool, scratch: Path | None, path: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Add up accepted = published + pending + dead + dropped; exit 1 when it does not, or an id is not as it should be.

    The spool's running totals are held against its rows, and against the metrics of the relay when one runs.
    Nothing is changed. Exit 70 when it cannot be looked at: without a spool, with --kafka without Kafka, or beside a
    relay whose metrics cannot be read.
    """
    config = load_config(path, secrets=with_kafka)
    from relay.audit import Readback
    from relay.cli.lookup import there_is
    from relay.spool import Census

    there_is(config)
    try:
        with (
            Census(config.spool.path) as census,
            tempfile.TemporaryDirectory(dir=scratch) as folder,
            closing(Readback(Path(folder) / "audit.db", config)) as readback,
        ):
            books = _add_up(census, readback if with_kafka else None)
            compared = _compare(config, census)
            sound = _tell_books(books, compared, as_json=as_json)
            if with_kafka:
                _read(readback, census)
                sound = _tell_readback(readback, as_json=as_json) and sound
    except (Unavailable, OSError) as error:
        fail(str(error), UNEXPECTED)
    if not sound:
        leave(NO)
    if compared.failed:
        leave(UNEXPECTED)


def _add_up(census: Census, readback: Readback | None) -> Books:
    from relay.audit import add_up

    with click.progressbar(length=census.tally().now.kept, label="spool", file=terminal()) as bar:

        def on_page(page: Sequence[Row]) -> None:
            if readback:
                readback.expect(page)
            bar.update(len(page))

        return add_up(census, on_page)


def _read(readback: Readback, census: Census) -> None:
    with click.progressbar(length=0, label="kafka", file=terminal()) as bar:

        def on_bounds(offsets: int) -> None:
            bar.length = offsets

        asyncio.run(readback.read(on_bounds, bar.update))
    readback.remember(census)


def _compare(config: Config, census: Census) -> Compared:
    from relay.audit import compare
    from relay.health import NoAnswer, fetch
    from relay.spool import in_use

    if not in_use(config.spool.path):
        return Compared(None, "no relay runs on this spool")
    if not config.admin.port:
        return Compared(None, "a relay runs, but on an admin.port that only its log tells")

    def scrape() -> str:
        status, text = fetch(config.admin.host, config.admin.port, "/metrics", TIMEOUT)
        if status != OK:
            raise NoAnswer(f"port {config.admin.port} answers {status} for /metrics: it is no relay's")
        return text

    try:
        counters = compare(census.tally, scrape)
    except (NoAnswer, ValueError) as error:
        return Compared(None, f"a relay runs, but its metrics cannot be read: {error}", failed=True)
    if counters is None:
        return Compared(None, "a relay starts or stops", failed=True)
    return Compared(counters.counted, faults=tuple(counters.faults()))


def _tell_books(books: Books, compared: Compared, *, as_json: bool) -> bool:
    """Print what was added up; True when all is as it should be."""
    totals, faults = books.after.now, [*books.faults(), *compared.faults]
    if as_json:
        told = {name: getattr(totals, name) for name in ("accepted", *STATUSES, "gone", "departed", "lost")}
        metrics = compared.counted or compared.aside
        click.echo(json.dumps({"totals": told, "metrics": metrics, "faults": faults}))
        return not faults
    for name in ("accepted", *STATUSES):
        click.echo(f"{name:<10}{getattr(totals, name):>14,}")
    if totals.gone:
        click.echo(f"  {totals.gone:,} of the published and dropped have left the spool, by age or for room")
    if totals.departed:
        click.echo(f"  {totals.departed:,} more had left before totals were kept, published or dropped")
    if compared.counted:
        counted = ", ".join(f"{count:,} {name}" for name, count in compared.counted.items())
        click.echo(f"the relay that runs has counted since its start: {counted}")
    else:
        click.echo(f"metrics not compared: {compared.aside}")
    for fault in faults:
        click.echo(f"WRONG: {fault}")
    if not faults:
        click.echo("this adds up")
    return not faults


def _tell_readback(readback: Readback, *, as_json: bool) -> bool:
    """Print what was found in Kafka, a line for each id that is not as it should be; True when there is none."""
    wrong = dict.fromkeys(("missing", "doubled", "unknown"), 0)
    for name, one in readback.differences():
        wrong[name] += 1
        if as_json:
            click.echo(json.dumps({"found": name, **one._asdict()}))
        else:
            whose = f" of delivery {one.number}" if one.number else ""
            click.echo(f"{name.upper()}: {safe(one.id)}{whose}, {safe(one.topic)} at {one.places}")
    counts = readback.counts()
    if as_json:
        click.echo(
            json.dumps(
                {"kafka": {**wrong, **counts}, "topics": sorted(readback.topics), "absent": sorted(readback.absent)}
            )
        )
        return not any(wrong.values())
    click.echo(
        f"Kafka: {counts['read']:,} records read in {len(readback.topics)} topics, {counts['expected']:,} expected; "
        f"{counts['of_others']:,} of other producers, {counts['replayed']:,} replayed"
    )
    for topic in sorted(readback.absent):
        click.echo(f"  there is no topic {safe(topic)} in this cluster: it was deleted, or this is another cluster")
    if counts["swept"]:
        click.echo(
            f"  {counts['swept']:,} deliveries have left the spool: where their records are is not known any more"
        )
    if counts["not_retained"]:
        click.echo(f"  {counts['not_retained']:,} expected ones could not be looked for: Kafka no longer retains them")
    if counts["before_horizon"]:
        click.echo(f"  {counts['before_horizon']:,} records were sent before what the spool remembers: not judged")
    click.echo(", ".join(f"{number:,} {name}" for name, number in wrong.items()))
    return not any(wrong.values())
