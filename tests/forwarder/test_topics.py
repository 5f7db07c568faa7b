"""Topics that rules name outright: looked at until all are there, whatever comes of a look."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.forwarder import Topics
from tests.lane.fake_kafka import FakeKafka

if TYPE_CHECKING:
    import pytest


async def test_a_fault_of_ours_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay stores on; the topic is asked for again, and found when that can be."""
    monkeypatch.setattr("relay.forwarder.topics.ASK_AGAIN", 0.01)
    kafka, asked = FakeKafka(), 0
    kafka.create_topic("there")
    find = kafka.topic

    async def faulty(name: str) -> object:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise AttributeError("a fault of ours")
        seen.append(topics.missing[name])
        return await find(name)

    seen: list[str | None] = []
    monkeypatch.setattr(kafka, "topic", faulty)
    topics = Topics(["there"], kafka)
    await asyncio.wait_for(topics.run(), 10)
    assert (seen, topics.missing) == (["unexpected: AttributeError('a fault of ours')"], {})
