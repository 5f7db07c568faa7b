"""Stage: what the parts of a run share: a folder on disk, a Kafka cluster, and the contenders started on them."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import deliveries
from bench.contender import Contender
from bench.course import Course
from bench.topic import Topic

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tests.kafka.cluster import Cluster

CONFIG = Path(__file__).with_name("relay.yaml")
PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each is measured, for how many seconds, by how many connections, and when the relay answers."""

    rounds: int
    seconds: int
    connections: int
    ack: str


class Stage:
    """Starts contenders, each with a topic and a folder of its own, so that none finds what another left."""

    def __init__(self, folder: Path, cluster: Cluster, pace: Pace) -> None:
        """Use a folder on a disk, and a cluster that runs."""
        self.folder = folder
        self.cluster = cluster
        self.pace = pace
        self._numbers = itertools.count(1)

    def start(self, stack: ExitStack, kind: str, *, config: Path = CONFIG, ack: str | None = None) -> Course:
        """Start `bare`, `plain`, `relay` or the relay on a `slow disk`; it runs until the stack is left."""
        course = self.prepare(stack, kind, config=config, ack=ack)
        stack.enter_context(course.contender)
        return course

    def prepare(self, stack: ExitStack, kind: str, *, config: Path = CONFIG, ack: str | None = None) -> Course:
        """Make its topic and its folder, and say how it is started; it does not run yet."""
        name = f"{kind.replace(' ', '-')}-{next(self._numbers)}"
        folder = self.folder / name
        folder.mkdir()
        servers = self.cluster.bootstrap_servers
        topic = None
        if kind != "bare":
            self.cluster.create_topic(f"bench.{name}", PARTITIONS)
            topic = Topic(servers, f"bench.{name}", PARTITIONS)
            stack.callback(topic.close)
        variables = {
            "BENCH_KEY": deliveries.KEY,
            "BENCH_KAFKA": servers,
            "BENCH_TOPIC": f"bench.{name}",
            "BENCH_ACK": ack or self.pace.ack,
            "BENCH_FOLDER": str(folder.resolve()),
        }
        commands = {
            "bare": [sys.executable, "-m", "bench.bare"],
            "plain": [sys.executable, "-m", "bench.plain", servers, f"bench.{name}"],
            "relay": ["relay", "run", "-c", str(config)],
            "slow disk": [sys.executable, "-m", "bench.slow_disk", "run", "-c", str(config)],
        }
        return Course(Contender(kind, commands[kind], folder, variables), topic, variables)


def say(what: str) -> None:
    """Tell a person what goes on; the figures alone go to standard output."""
    print(what, file=sys.stderr, flush=True)
