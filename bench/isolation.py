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
from bench.stage import CONFIG, say
from bench.table import Figure, Goal
from tests.kafka.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.course import Course
    from bench.stage import Stage

RATE = 600
TROUBLED = "ProvisioningFailed"
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
WELL, FORBIDDEN, SHORT = "well", "forbidden", "min ISR unmet"
STATES = (WELL, FORBIDDEN, SHORT)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Send to two topics, one of which Kafka takes in every third round only; give the lines of the part."""
    with ExitStack() as stack:
        config, topic = stage.folder / "isolation.yaml", "bench.troubled"
        write(config, topic)
        stage.cluster.create_topic(topic)
        course = stage.start(stack, "relay", config=config)
        _volley(stage, course, WARM_UP)
        admin = Admin(stage.cluster.bootstrap_servers)
        rounds: dict[str, list[Others]] = {state: [] for state in STATES}
        for number in range(stage.pace.rounds):
            for state in STATES[:: -1 if number % 2 else 1]:
                with _in(state, topic, admin):
                    one = _volley(stage, course, stage.pace.seconds)
                _settle(course)
                say(f"round {number + 1}: {state}, p50 {one.p50 * 1e3:.2f} ms, p99 {one.p99 * 1e3:.2f} ms")
                rounds[state].append(one)
    troubled = [*rounds[FORBIDDEN], *rounds[SHORT]]
    if not all(one.waiting >= stage.pace.seconds * RATE / EACH / 2 for one in troubled):
        raise RuntimeError("Kafka took records of the troubled topic")
    yield from table.lines(rounds, FIGURES, [(FORBIDDEN, WELL), (SHORT, WELL)])
    yield ""
    held = min(one.waiting for one in troubled)
    yield (
        f"{RATE} deliveries a second in open loop, a third of them to a topic of its own, to which in the rounds "
        f"`{FORBIDDEN}` nobody might write, and which in the rounds `{SHORT}` had fewer replicas than "
        f"min.insync.replicas: {held:,} or more waited then, and were published afterwards."
    )
    for state in (FORBIDDEN, SHORT):
        ratio = median(table.within(rounds[state], rounds[WELL], FIGURES[1].read))
        goals.append(Goal(f"p99 of the others while a topic is in trouble ({state}), of that without", ratio, 1.2))


@contextmanager
def _in(state: str, topic: str, admin: Admin) -> Iterator[None]:
    """Bring the topic into a state, and back."""
    if state == FORBIDDEN:
        admin.forbid(topic, AclOperation.WRITE)
    elif state == SHORT:
        admin.set(topic, "min.insync.replicas", "2")
    yield
    if state == FORBIDDEN:
        admin.allow(topic)
    elif state == SHORT:
        admin.set(topic, "min.insync.replicas", None)


def write(path: Path, topic: str) -> None:
    """Write the benchmark's configuration with a rule for one type, to a topic of its own."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["routes"].insert(0, {"name": "troubled", "match": {"type": TROUBLED}, "topics": [topic]})
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
