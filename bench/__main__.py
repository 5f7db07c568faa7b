"""Measure the relay beside a plain service: `make bench`, or `python -m bench --help`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from bench import deliveries, load, machine, table
from bench.contender import Contender
from bench.lap import Course, Lap
from bench.topic import Topic
from tests.kafka.cluster import Cluster
from tests.kafka.jars import NotInstalledError

FOLDER = Path("build")
CONFIG = Path(__file__).with_name("relay.yaml")
PARTITIONS = 3
WARM_UP = 3  # seconds
# Deliveries a second to have ready: this many at least, twice the best so far when that is more. A lap that uses
# up its deliveries is void, and on a machine that others use the warm-up may have been the slowest of all.
READY = 10_000


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often each is measured, in turn.")
@click.option("--seconds", default=8, show_default=True, help="How long each is measured.")
@click.option("--connections", default=64, show_default=True, help="How many requests are under way at once.")
@click.option("--ack", type=click.Choice(["published", "stored"]), default="published", show_default=True)
def main(rounds: int, seconds: int, connections: int, ack: str) -> None:
    """Print throughput, CPU and memory of the relay as ratios to those of a plain service."""
    FOLDER.mkdir(exist_ok=True)
    if wrong := load.missing():
        sys.exit(wrong)
    if machine.is_in_memory(FOLDER):
        sys.exit(f"{FOLDER.resolve()} is not on a disk, so that an fsync would cost nothing")
    try:
        with ExitStack() as stack:
            laps = _run(stack, ack, rounds=rounds, seconds=seconds, connections=connections)
    except NotInstalledError as missing:
        sys.exit(str(missing))
    _print(laps, f"{rounds} rounds of {seconds} s, {connections} connections, ack.after {ack}")


def _run(stack: ExitStack, ack: str, *, rounds: int, seconds: int, connections: int) -> dict[str, list[Lap]]:
    """Start all parts, warm up, and measure round by round; give the laps by contender."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=FOLDER)))
    courses = _start(stack, folder, ack)
    file = folder / "deliveries"
    _say("warming up")
    deliveries.write(file, READY * WARM_UP)
    rate = max(course.lap(file, seconds=WARM_UP, connections=connections).rate for course in courses)
    laps: dict[str, list[Lap]] = {course.contender.name: [] for course in courses}
    for number in range(rounds):
        deliveries.write(file, int(max(2 * rate, READY) * seconds))
        for course in courses:
            lap = course.lap(file, seconds=seconds, connections=connections)
            name = course.contender.name
            _say(f"round {number + 1}: {name} {lap.rate:,.0f}/s, {lap.cpu * 1e6:.0f} us, stored {lap.stored:.1%}")
            laps[name].append(lap)
            rate = max(rate, lap.rate)
        courses.reverse()
    return laps


def _start(stack: ExitStack, folder: Path, ack: str) -> list[Course]:
    """Start Kafka and both contenders, each with a topic of its own."""
    _say("starting Kafka")
    cluster = stack.enter_context(Cluster())
    servers = cluster.bootstrap_servers
    topics: dict[str, Topic] = {}
    for name in ("plain", "relay"):
        cluster.create_topic(f"bench.{name}", PARTITIONS)
        topics[name] = Topic(servers, f"bench.{name}", PARTITIONS)
        stack.callback(topics[name].close)
    variables = {
        "BENCH_KEY": deliveries.KEY,
        "BENCH_KAFKA": servers,
        "BENCH_TOPIC": topics["relay"].name,
        "BENCH_ACK": ack,
        "BENCH_FOLDER": str(folder.resolve()),
    }
    commands = {
        "plain": [sys.executable, "-m", "bench.plain", servers, topics["plain"].name],
        "relay": ["relay", "run", "-c", str(CONFIG)],
    }
    return [
        Course(stack.enter_context(Contender(name, command, folder, variables)), topics[name])
        for name, command in commands.items()
    ]


def _print(laps: dict[str, list[Lap]], how: str) -> None:
    stored = sum(lap.stored for lap in laps["relay"]) / len(laps["relay"])
    print("\n".join(table.lines(laps["plain"], laps["relay"])))
    print(f"\nMedian (least..most); {how}.")
    print(f"{machine.description(FOLDER)}.")
    print("The contender, wrk and one Kafka broker (acks=all) share the cores: quote the ratios.")
    print(f"Of the relay's answers {stored:.1%} said `stored`: those did not wait for Kafka to the end.")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
