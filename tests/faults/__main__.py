"""The long run: fault after fault, by chance, for so many seconds; `make faults` prints its table."""

from __future__ import annotations

import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import pytest

from tests.faults.combination import AND, choose, combine
from tests.faults.episode import FAULTS, Ground
from tests.faults.table import Table
from tests.kafka.jars import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.fault import Fault

AT_RANDOM = "at random"  # the name for a combination that is chosen by the episode's seed
COMBINED = 10  # of these in each round
KILLED = "relay killed"
KILLS = 240  # of the relay in an hour; whenever there were fewer, they come before the next of the round
HOUR = 3600.0
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _chosen(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = text.split(",") if text else [*FAULTS, *[AT_RANDOM] * COMBINED]
    for name in names:
        try:
            _fault(name, 0)
        except KeyError as unknown:
            raise click.BadParameter(f"{unknown}: not among {', '.join((AT_RANDOM, *FAULTS))}") from unknown
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return names


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long to go on; the episode under way is ended.")
@click.option("--seed", default=0, show_default=True, help="What decides everything that is left to chance.")
@click.option(
    "--only", default="", callback=_chosen,
    help="Which faults, with commas between; `a + b` are at once, `at random` is any combination; all by default.",
)  # fmt: skip
@click.option("--strikes", default=3, show_default=True, help="How often a fault is struck in one episode, at most.")
@click.option("--episode", type=int, help="Play each fault once, struck as often as it says, with an episode's seed.")
@click.option("--table", "file", type=FILE, help="A file in which the table is kept, as far as it has come.")
@click.option("--evidence", type=FOLDER, help="A folder for the log and the spool of each episode that was not clean.")
def main(  # noqa: PLR0917 - click's options
    seconds: float,
    seed: int,
    only: list[str],
    strikes: int,
    episode: int | None,
    file: Path | None,
    evidence: Path | None,
) -> None:
    """Strike at a relay on three brokers, and print what came of each fault; exit 1 unless all of it is clean.

    What is printed of an episode repeats it: `--only "NAME" --episode SEED --strikes NUMBER`.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    table, began = Table(file), time.monotonic()

    def lags() -> bool:
        return KILLED in only and table.kills < KILLS * (time.monotonic() - began) / HOUR

    episodes = _until(began + seconds, drawn(only, seed, strikes, lags))
    if episode is not None:
        episodes = ((name, episode, strikes) for name in only)
    try:
        with Ground(evidence) as ground:
            for name, number, struck in episodes:
                _play(ground, table, name, number, struck)
    except NotInstalledError as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        click.echo("broken off", err=True)
    finally:
        click.echo(str(table))
    sys.exit(not table.clean)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _until(end: float, episodes: Iterator[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    while time.monotonic() < end:
        yield next(episodes)


def drawn(names: list[str], seed: int, strikes: int, lags: Callable[[], bool]) -> Iterator[tuple[str, int, int]]:
    """Give faults with the episode's seed and how often to strike, without an end.

    `lags`: whether kills of the relay are behind their pace; at most every other episode makes up for that.
    """
    chance, between = random.Random(seed), random.Random(f"{seed}/{KILLED}")
    while True:
        for name in chance.sample(names, len(names)):  # each once before any comes again
            if lags():
                yield _draw(KILLED, between, strikes)
            yield _draw(name, chance, strikes)


def _draw(name: str, chance: random.Random, strikes: int) -> tuple[str, int, int]:
    """Give a fault with the episode's seed and how often to strike."""
    return name, chance.getrandbits(32), chance.randint(1, strikes) * _fault(name, 0).often


def _fault(name: str, seed: int) -> Fault:
    """Give a fault, or the combination of a name. Raises `KeyError` and `ValueError`."""
    if name == AT_RANDOM:
        return choose(FAULTS.values(), seed)
    return combine([FAULTS[part] for part in name.split(AND)])


def _play(ground: Ground, table: Table, name: str, seed: int, strikes: int) -> None:
    """Play an episode and add it to the table; one without an end is a fault of the relay, until it is explained."""
    fault = _fault(name, seed)
    row = name if AND not in fault.name else f"{len(fault.name.split(AND))} at once"
    repeated = f'--only "{fault.name}" --episode {seed} --strikes {strikes}'
    began = time.monotonic()
    try:
        found = ground.play(fault, seed, strikes=strikes)
    except pytest.skip.Exception as skipped:
        table.skip(fault.name, str(skipped))
        return
    except Exception as error:  # noqa: BLE001 - whatever it was, it is this row's, and the run goes on
        why = "".join(traceback.format_exception(error, limit=-4))
        table.give_up(row, repeated, why)
        word = f"NO VERDICT: {why}"
        ground.renew()
    else:
        table.add(row, repeated, strikes, found)
        word = "clean" if found.clean else f"NOT CLEAN: {found}"
    click.echo(f"{time.monotonic() - began:5.1f} s {repeated}: {word}", err=True)


if __name__ == "__main__":
    main()
