"""What a lane tells while Kafka owes it an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.lane.trouble import Trouble
from relay.metrics import LaneState
from tests.lane.fake_kafka import FakeKafka
from tests.lane.life import Life
from tests.lane.test_lane import TOPIC, published, running
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


async def test_a_late_answer_is_told_and_waited_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane says why and since when, once in the log, keeps its flight and its producer, and is well by itself."""
    monkeypatch.setattr("relay.lane.lane.LATE", 600.0)
    kafka = FakeKafka(delivery_timeout=600.0)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.silent.add(TOPIC)
    await life.accept(3)
    lane = await life.lane(kafka)
    began = time.time()
    with capture_logs() as told:
        async with running(lane) as task:
            await kafka.hung.wait()
            assert (lane.trouble, str(lane.state)) == (None, LaneState.READY)
            monkeypatch.setattr("relay.lane.lane.LATE", 0.05)
            await until(lambda: lane.trouble == "no answer yet")
            assert str(lane.state) == LaneState.WAITING
            since = lane.since
            assert began <= since <= time.time() - 0.05
            kafka.why = "the last error was NOT_ENOUGH_REPLICAS"
            await until(lambda: lane.trouble == "no answer yet; the last error was NOT_ENOUGH_REPLICAS")
            assert (lane.since, len(lane.flights)) == (since, 1)
            kafka.silent.clear()
            await task
    assert (lane.trouble, str(lane.state)) == (None, LaneState.READY)
    assert [line["event"] for line in told] == ["lane.delayed", "lane.healed"]
    assert told[0] == {
        "event": "lane.delayed", "log_level": "warning", "topic": TOPIC, "error": "no answer yet", "flights": 1,
    }  # fmt: skip
    assert told[1]["seconds"] >= 0.05
    assert (published(kafka), len(kafka.opened), life.recoveries, life.doubts) == ([1, 2, 3], 1, 0, 0)


async def test_a_failure_after_a_late_answer_is_of_the_same_trouble(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was late and has failed stands since it was sent; however often, each of the two is in the log once."""
    monkeypatch.setattr("relay.lane.lane.LATE", 0.05)
    monkeypatch.setattr("relay.lane.lane.BACKOFF_MAX", 0.01)
    kafka = FakeKafka(delivery_timeout=0.2)
    kafka.create_topic(TOPIC, partitions=1)
    kafka.silent.add(TOPIC)
    await life.accept(1)
    lane = await life.lane(kafka)
    with capture_logs() as told:
        async with running(lane) as task:
            await until(lambda: lane.trouble == "no answer yet")
            since = lane.since
            await until(lambda: lane.trouble == "no answer")
            await until(lambda: len(kafka.opened) > 3)
            assert lane.since == since
            kafka.silent.clear()
            await task
    events = [line["event"] for line in told if line["event"] not in {"lane.recovering", "lane.recovered"}]
    assert events == ["lane.delayed", "lane.failed", "lane.healed"]
    assert (published(kafka), life.doubts) == ([1], 0)


def test_what_only_ends_otherwise_is_told_once() -> None:
    """The last error that Kafka gave varies from attempt to attempt, and is no new trouble."""
    trouble = Trouble(TOPIC)
    with capture_logs() as told:
        for last in ("NOT_ENOUGH_REPLICAS, of partition 0", "REQUEST_TIMED_OUT, of partition 2"):
            trouble.fail(Unavailable(f"no answer within 1 s; the last error was {last}"), 1)
        trouble.fail(Unavailable("Kafka does not answer"), 1)
    assert [line["error"].partition(";")[0] for line in told] == ["no answer within 1 s", "Kafka does not answer"]
    assert trouble.now == "Kafka does not answer"
