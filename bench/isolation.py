"""Isolation: what a topic that Kafka does not take costs the deliveries of the others."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import yaml
from confluent_kafka.admin import AclOperation

from bench import deliveries, table, volley
from bench.stage import CONFIG, Stage, say
from bench.table import Figure, Goal
from tests.kafka.admin import Admin
from tests.kafka.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bench.course import Course

RATE = 600
TROUBLED = "ProvisioningFailed"
TROUBLED_TOPIC, OTHER_TOPIC = "bench.troubled", "bench.other"
EACH, NTH = 3, 2  # of the deliveries as `deliveries.bodies` gives them, every third is of that type
WORKERS = 2000
WARM_UP = 2  # seconds
PATIENCE = 60.0
LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Others:
    """Seconds within which half and 99 % of the other topic's deliveries were answered, and how many waited for Kafka.

    They are counted at the end, and are of the troubled topic when it is troubled.
    """

    p50: float
    p99: float
    waiting: int


FIGURES: tuple[Figure[Others], ...] = (
    Figure("others' p50, ms", lambda one: one.p50 * 1e3, ".2f"),
    Figure("others' p99, ms", lambda one: one.p99 * 1e3, ".2f"),
)
WELL = "well"


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Send to two topics, one of which is in another trouble in each round but one; give the lines of the part."""
    with ExitStack() as stack:
        scene = Scene(stack.enter_context(Cluster(3, guarded=True)))
        folder = stage.folder / "isolation"
        folder.mkdir()
        write(folder / "relay.yaml")
        stage = Stage(folder, scene.cluster, stage.pace)
        course = stage.start(stack, "relay", config=folder / "relay.yaml")
        _volley(stage, course, WARM_UP)
        states = (WELL, *scene.troubles)
        rounds: dict[str, list[Others]] = {state: [] for state in states}
        for number in range(stage.pace.rounds):
            for state in states[:: -1 if number % 2 else 1]:
                with scene.being(state):
                    one = _volley(stage, course, stage.pace.seconds)
                _settle(course)
                p50, p99 = one.p50 * 1e3, one.p99 * 1e3
                say(f"round {number + 1}: {state}, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {one.waiting} wait")
                rounds[state].append(one)
    troubled = [one for state in scene.troubles for one in rounds[state]]
    if not all(one.waiting >= stage.pace.seconds * RATE / EACH / 2 for one in troubled):
        raise RuntimeError("Kafka took records of the troubled topic")
    yield from table.lines(rounds, FIGURES, [(state, WELL) for state in scene.troubles])
    yield ""
    held = min(one.waiting for one in troubled)
    yield (
        f"{RATE} deliveries a second in open loop, a third of them to a topic of its own, which in some rounds nobody "
        f"might write, or lacked one of two replicas or the only one, or was deleted: "
        f"{held:,} or more waited then, and were published afterwards. Three brokers."
    )
    for state in scene.troubles:
        ratio = median(table.within(rounds[state], rounds[WELL], FIGURES[1].read))
        goals.append(Goal(f"p99 of the others while a topic is in trouble ({state}), of that without", ratio, 1.2))


class Scene:
    """Two topics on three brokers: the troubled one is led by the third, of which the other one knows nothing."""

    def __init__(self, cluster: Cluster) -> None:
        """Make both; `troubles` has for each trouble what brings it about, and what ends it."""
        self.cluster = cluster
        self._admin = admin = Admin(cluster.bootstrap_servers)
        admin.create(OTHER_TOPIC, [[1, 2], [2, 1], [1, 2]])
        self._create([3])
        self.troubles: Mapping[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "forbidden": (
                lambda: admin.forbid(TROUBLED_TOPIC, AclOperation.WRITE),
                lambda: admin.allow(TROUBLED_TOPIC),
            ),
            "min ISR unmet": (lambda: self._lose([3, 2]), lambda: cluster.restart(3)),
            "leaderless": (lambda: self._lose([3]), lambda: cluster.restart(3)),
            "missing": (lambda: admin.delete(TROUBLED_TOPIC), lambda: self._create([3])),
        }

    @contextmanager
    def being(self, state: str) -> Iterator[None]:
        """Bring the troubled topic into a trouble, and out of it; or leave it well."""
        if state == WELL:
            yield
            return
        begin, end = self.troubles[state]
        begin()
        yield
        end()

    def _create(self, nodes: list[int]) -> None:
        self._admin.create(TROUBLED_TOPIC, [nodes] * 3, {"min.insync.replicas": str(len(nodes))})

    def _lose(self, nodes: list[int]) -> None:
        """Make the topic anew on these, all of which must have a record, and kill the third."""
        self._admin.delete(TROUBLED_TOPIC)
        self._create(nodes)
        self.cluster.kill(3)


def write(path: Path) -> None:
    """Write the benchmark's configuration with rules for both topics."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["routes"] = [
        {"name": "troubled", "match": {"type": TROUBLED}, "topics": [TROUBLED_TOPIC]},
        {"name": "all", "topics": [OTHER_TOPIC]},
    ]
    config["kafka"]["topics"] = {"create": False}  # or the one that is missing would be made again
    path.write_text(json.dumps(config), encoding="utf-8")


def _volley(stage: Stage, course: Course, seconds: int) -> Others:
    """Attack once. Raises `RuntimeError` when an answer was not 202."""
    targets = stage.folder / "targets"
    deliveries.write_targets(targets, RATE * seconds, course.contender.ports.port)
    fired = volley.attack(targets, rate=RATE, seconds=seconds, workers=WORKERS)
    if len(fired.accepted) != len(fired.answers):
        raise RuntimeError(f"only {len(fired.accepted)} of {len(fired.answers)} were accepted")
    others = [answer for answer in fired.accepted if answer.seq % EACH != NTH]
    now = course.ledger()
    return Others(volley.latency(others, 0.5), volley.latency(others, 0.99), now.pending if now else 0)


def _settle(course: Course) -> None:
    """Wait until what was held back is published. Raises `RuntimeError` when it is not, or had another outcome."""
    deadline = time.monotonic() + PATIENCE
    while (now := course.ledger()) and now.pending:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{now.pending} are still pending after {PATIENCE:g} s")
        time.sleep(LOOK)
    if now is None or now.accepted != now.published or now.other:
        raise RuntimeError(f"not all that was accepted was published: {now}")
