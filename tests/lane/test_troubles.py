"""What a lane tells of its troubles, and how long it waits in them."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from relay.core.errors import Reason
from relay.core.model import Status
from relay.kafka import record_size
from relay.lane import Lane
from tests.lane.fake_kafka import FakeKafka, refuse
from tests.lane.life import DoomedKafka, Life, Line
from tests.lane.tape import Tape
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relay.kafka import Topic
    from relay.lane import Item

TOPIC = "t"


class Asked(FakeKafka):
    """A Kafka that counts how often a lane asked for its topic."""

    times = 0

    async def topic(self, name: str) -> Topic:
        """Count, and find the topic."""
        self.times += 1
        return await super().topic(name)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


async def test_each_trouble_is_told_once_and_its_end(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a lane tries, a trouble is told when it begins or changes; its end says how long it lasted."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_MAX", 0.01)
    kafka = Asked()
    await life.accept(3)
    lane = await life.lane(kafka)
    began = time.monotonic()
    running = asyncio.ensure_future(lane.run())
    with capture_logs() as told:
        await until(lambda: kafka.times > 3)
        seen = time.monotonic()
        since = lane.since
        kafka.open_failures = 3
        kafka.faults.extend([refuse()] * 2)
        sent: list[tuple[float, float]] = []
        kafka.watch = lambda *_: sent.append((lane.since, time.monotonic()))
        kafka.create_topic(TOPIC, partitions=1)
        await running
    assert [began_at for began_at, _ in sent] == [since] * 3
    ended = sent[-1][1]
    lasted = time.monotonic() - began
    *troubles, healed = [line for line in told if line["event"].startswith(("topic.", "lane.failed", "lane.healed"))]
    assert troubles == [
        {"event": "topic.missing", "log_level": "error", "topic": TOPIC, "error": "topic t does not exist"},
        {"event": "lane.failed", "log_level": "error", "topic": TOPIC, "error": "no broker answers", "flights": 0},
        {"event": "lane.failed", "log_level": "error", "topic": TOPIC, "error": "NOT_ENOUGH_REPLICAS", "flights": 1},
    ]
    seconds = healed.pop("seconds")
    assert healed == {"event": "lane.healed", "log_level": "info", "topic": TOPIC}
    assert ended - seen - 0.001 < seconds == round(seconds, 3) <= round(lasted, 3)
    assert (lane.trouble, since < lane.since <= time.time()) == (None, True)


async def test_a_lane_waits_longer_each_time_up_to_a_bound(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest wait doubles from failure to failure, to five seconds; after a success it begins anew."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    monkeypatch.setattr(random, "uniform", draw)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1)
    kafka.open_failures = 8
    line = Line(await life.accept(1))
    await Lane(TOPIC, line, life.neighbours(kafka)).run()
    bounds = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert [high for _, high in drawn] == pytest.approx(bounds)
    kafka.open_failures = 1
    line.push(*await life.accept(1))
    lane = Lane(TOPIC, line, life.neighbours(kafka))
    await lane.run()
    kafka.open_failures = 1
    line.push(*await life.accept(1))
    await lane.run()
    assert [high for _, high in drawn[len(bounds) :]] == pytest.approx([0.2, 0.2])
    assert {low for low, _ in drawn} == {0}


@pytest.mark.parametrize(
    ("believed", "reason", "detail"),
    [
        (None, Reason.TOO_LARGE, "topic t takes 900 bytes at most"),
        (900_000, Reason.REFUSED, "topic t refused the record: MESSAGE_TOO_LARGE"),
    ],
)
async def test_a_record_that_is_buried_says_why(
    tmp_path: Path, believed: int | None, reason: Reason, detail: str
) -> None:
    """Whether the lane knew the topic's limit or the broker had to say it, the dead letter says who refused it."""
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1, limit=1000)
    async with Life(tmp_path, TOPIC, {2: 2000}) as life:
        tape = Tape(life.spool)
        small, large = await life.accept(2)
        lane = Lane(TOPIC, Line([small, large]), life.neighbours(DoomedKafka(kafka, max_batch=believed), tape))
        await lane.run()
        dead = [one for journal in tape.journals for one in journal.settlements if one.reason]
        assert [(one.number, one.reason, one.detail) for one in dead] == [(2, reason, detail)]
        assert [(item.committed.status, item.committed.reason) for item in (small, large)] == [
            (Status.PUBLISHED, None),
            (Status.DEAD, reason),
        ]


async def test_a_lane_without_trouble_stands_since_it_was_made(life: Life) -> None:
    """Its `since` is a time from the beginning, which an operator can read."""
    began = time.time()
    lane = Lane(TOPIC, Line(), life.neighbours(FakeKafka()))
    assert began <= lane.since <= time.time()
    assert (lane.trouble, lane.flights) == (None, [])


async def test_a_fault_of_ours_is_told_with_its_trace(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is told twice: as a trouble, and with the place where it happened."""
    monkeypatch.setattr("relay.lane.lane.BACKOFF_MAX", 0.01)
    line = Line()
    broken = [ValueError("a mistake")]

    async def stumble(_: int) -> list[Item]:
        if broken:
            raise broken.pop()
        return []

    monkeypatch.setattr(line, "peek", stumble)
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1)
    with capture_logs() as told:
        await Lane(TOPIC, line, life.neighbours(kafka)).run()
    assert told[0] == {"event": "lane.broken", "log_level": "error", "topic": TOPIC, "exc_info": True}
    assert [line["event"] for line in told] == ["lane.broken", "lane.failed", "lane.healed"]


@pytest.mark.parametrize(("spare", "status"), [(0, Status.PUBLISHED), (-1, Status.DEAD)])
async def test_a_record_may_fill_a_batch(life: Life, spare: int, status: Status) -> None:
    """What is as large as the largest batch is sent, and one byte more is too large."""
    kafka = FakeKafka()
    kafka.create_topic(TOPIC, partitions=1)
    [item] = await life.accept(1)
    room = record_size(item.record) + spare
    await Lane(TOPIC, Line([item]), life.neighbours(DoomedKafka(kafka, max_batch=room))).run()
    assert item.committed.status is status


@pytest.mark.parametrize(("turn", "opened"), [(3600.0, ["a", "b"]), (-1.0, ["a", "b", "a"])])
async def test_a_lane_gives_way_when_its_turn_is_over(
    life: Life, monkeypatch: pytest.MonkeyPatch, turn: float, opened: list[str]
) -> None:
    """While another waits for a producer a lane keeps its own for a turn, round after round, and no longer."""
    monkeypatch.setattr("relay.lane.lane.TURN", turn)
    kafka = FakeKafka()
    items = await life.accept(4)
    room = record_size(items[0].record)
    neighbours = life.neighbours(DoomedKafka(kafka, max_batch=room))
    lines = {name: [item._replace(record=structs.replace(item.record, topic=name)) for item in some]
             for name, some in (("a", items[:3]), ("b", items[3:]))}  # fmt: skip
    for name in lines:
        kafka.create_topic(name, partitions=1)
    async with asyncio.TaskGroup() as group:
        for name, line in lines.items():
            group.create_task(Lane(name, Line(line), neighbours).run())
    assert [name for name, _ in kafka.opened] == opened
    assert [len(kafka.topics[name].partitions[0].log) for name in lines] == [3, 1]
