"""The long run: fault after fault, by chance, for so many seconds; `make faults` prints its table."""

from __future__ import annotations

import random
import sys
import time

import click

from tests.faults.episode import FAULTS, Ground
from tests.faults.oracle import Finding
from tests.kafka.jars import NotInstalledError

COLUMNS = (
    "deliveries",
    "lost",
    "forged",
    "doubled",
    "reordered",
    "misplaced",
    "unsettled",
    "dead",
    "destroyed",
    "moved",
)


def _chosen(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = text.split(",") if text else list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        raise click.BadParameter(f"{', '.join(unknown)}: not among {', '.join(FAULTS)}")
    return names


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long to go on; the episode under way is ended.")
@click.option("--seed", default=0, show_default=True, help="What decides everything that is left to chance.")
@click.option("--only", default="", callback=_chosen, help="Which faults, with commas between; all by default.")
@click.option("--strikes", default=3, show_default=True, help="How often a fault is struck in one episode, at most.")
def main(seconds: float, seed: int, only: list[str], strikes: int) -> None:
    """Strike at a relay on three brokers, and print what came of each fault; exit 1 unless all of it is clean."""
    chance = random.Random(seed)
    findings: dict[str, Finding] = {}
    episodes: dict[str, int] = {}
    end = time.monotonic() + seconds
    try:
        with Ground() as ground:
            while time.monotonic() < end:
                for name in chance.sample(only, len(only)):  # each once before any comes again
                    if time.monotonic() >= end:
                        break
                    number, struck = chance.getrandbits(32), chance.randint(1, strikes)
                    found = _play(ground, name, number, struck)
                    findings[name] = findings.get(name, Finding()) + found
                    episodes[name] = episodes.get(name, 0) + struck
                    word = "clean" if found.clean else f"NOT CLEAN: {found.faults[:3]}"
                    click.echo(f"{name}, seed {number}, struck {struck} times: {word}", err=True)
    except NotInstalledError as missing:
        sys.exit(str(missing))
    _print(findings, episodes)
    sys.exit(not all(finding.clean for finding in findings.values()))


def _play(ground: Ground, name: str, seed: int, strikes: int) -> Finding:
    """Give what an episode came to; one without an end is a fault of the relay, until it is explained."""
    try:
        return ground.play(FAULTS[name], seed, strikes=strikes)
    except (AssertionError, TimeoutError) as error:
        return Finding(faults=[f"{type(error).__name__}: {error}"])


def _print(findings: dict[str, Finding], episodes: dict[str, int]) -> None:
    click.echo(f"| fault | struck | {' | '.join(COLUMNS)} | recovery, s |")
    click.echo("|---" * (len(COLUMNS) + 3) + "|")
    total = sum(findings.values(), Finding())
    for name, finding, struck in (
        *((name, findings[name], episodes[name]) for name in sorted(findings)),
        ("all", total, sum(episodes.values())),
    ):
        counts = " | ".join(f"{getattr(finding, column):,}" for column in COLUMNS)
        click.echo(f"| {name} | {struck} | {counts} | {finding.recovery:.1f} |")


if __name__ == "__main__":
    main()
