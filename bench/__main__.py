"""Measure the relay beside a plain service: `make bench`, or `python -m bench --help`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from confluent_kafka import KafkaException

from bench import drain, isolation, latency, load, machine, memory, overload, rules, start, throughput, volley
from bench.stage import Pace, Stage, say
from tests.kafka.cluster import Cluster
from tests.kafka.jars import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.table import Goal

FOLDER = Path("build")
# The broker that is frozen for a while is to go on where it was, and not to be taken for lost by its own controller.
PATIENT = {"broker.session.timeout.ms": "600000"}
FAULTS = (RuntimeError, OSError, subprocess.SubprocessError, KafkaException)
PARTS: Mapping[str, Callable[[Stage, list[Goal]], Iterator[str]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "rules": rules.measure,
    "drain": drain.measure,
    "isolation": isolation.measure,
    "memory": memory.measure,
    "start": start.measure,
    "overload": overload.measure,
}


def _chosen(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise click.BadParameter(f"{', '.join(unknown)}: not among {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


@click.command()
@click.option("--only", default=",".join(PARTS), show_default=True, callback=_chosen, help="Which parts to run.")
@click.option("--rounds", default=3, show_default=True, help="How often each is measured, in turn.")
@click.option(
    "--seconds", default=6, show_default=True, help="How long each is measured in throughput, latency and isolation."
)
@click.option("--connections", default=64, show_default=True, help="How many requests are under way at once.")
@click.option("--ack", type=click.Choice(["published", "stored"]), default="published", show_default=True)
def main(only: list[str], rounds: int, seconds: int, connections: int, ack: str) -> None:
    """Print what the relay takes and costs, as ratios to a plain service."""
    FOLDER.mkdir(exist_ok=True)
    if wrong := load.missing() or volley.install():
        sys.exit(wrong)
    if machine.is_in_memory(FOLDER):
        sys.exit(f"{FOLDER.resolve()} is not on a disk, so that an fsync would cost nothing")
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            void = _run(stack, only, Pace(rounds, seconds, connections, ack))
    except NotInstalledError as missing:
        sys.exit(str(missing))
    took = time.monotonic() - began
    print(f"Median (least..most); {rounds} rounds of {seconds} s, ack.after {ack}; {took:.0f} s in all.")
    print(f"{machine.description(FOLDER)}.")
    print("The contender, its load and one Kafka broker (acks=all) share the cores: quote the ratios.")
    if void:
        sys.exit(f"void: {', '.join(void)}")


def _run(stack: ExitStack, only: list[str], pace: Pace) -> list[str]:
    """Start Kafka, run the parts and print each when it is over, then what was to be reached; give those void."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=FOLDER)))
    say("starting Kafka")
    stage = Stage(folder, stack.enter_context(Cluster(config=PATIENT, guarded=True)), pace)
    goals: list[Goal] = []
    void: list[str] = []
    for name in only:
        say(f"{name}:")
        print(f"### {name.capitalize()}\n")
        try:
            for line in PARTS[name](stage, goals):
                print(line, flush=True)
        except FAULTS as error:  # what the others measure is as good as without it
            void.append(name)
            print(f"Void: {error}")
        print(flush=True)
    print("### To reach\n\n| | | measured | reached |\n|---|---|---|---|")
    print("\n".join(goal.line() for goal in goals), end="\n\n")
    return void


if __name__ == "__main__":
    main()
