"""What became of a delivery on its way: its status, its places, and what its sender is told first."""

from __future__ import annotations

import asyncio
import time

import pytest

from relay.core.errors import Reason
from relay.core.model import Placed, Record, Status
from relay.lane import Committed
from relay.lane.committed import OBJECT_BYTES


def committed(*topics: str) -> Committed:
    """Give a delivery with one record for each topic."""
    return Committed(
        number=7, source="s", event_id="i", type="t", routes=("r",), received_at=2.5,
        records=tuple(Record(topic, b"key", b"value") for topic in topics), topics=topics,
    )  # fmt: skip


def test_a_delivery_begins_with_all_that_is_known_of_it() -> None:
    """Nothing is acknowledged, answered or settled, and its size counts its records' keys and values."""
    one = committed("a", "b")
    assert (one.number, one.source, one.event_id, one.type, one.routes, one.received_at) == (
        7,
        "s",
        "i",
        "t",
        ("r",),
        2.5,
    )
    assert (one.topics, [record.topic for record in one.records]) == (("a", "b"), ["a", "b"])
    assert one.size == OBJECT_BYTES + 2 * len("keyvalue")
    assert (one.placed, one.reason, one.answered, one.answered_at, one.waiting) == ([], None, None, None, [])
    assert (one.awaited, one.settled, one.acknowledged, one.status) == (False, False, False, Status.PENDING)


def test_a_delivery_is_published_when_its_last_record_is() -> None:
    """It is pending while one record is; its places are told by topic, whichever was acknowledged first."""
    one = committed("a", "b")
    one.place(Placed("b", 1, 10))
    assert (one.acknowledged, one.status) == (False, Status.PENDING)
    one.place(Placed("a", 0, 20))
    assert (one.acknowledged, one.status) == (True, Status.PUBLISHED)
    assert one.places == (Placed("a", 0, 20), Placed("b", 1, 10))


def test_a_delivery_is_dead_when_one_of_its_records_is() -> None:
    """Its reason is that record's; the others come to their own ends, and a commit that is repeated changes nothing."""
    one = committed("a", "b")
    one.bury("a", Reason.TOO_LARGE)
    assert (one.status, one.reason) == (Status.PENDING, Reason.TOO_LARGE)
    one.bury("a", Reason.TOO_LARGE)
    one.place(Placed("b", 1, 10))
    assert (one.status, one.reason, one.places) == (Status.DEAD, Reason.TOO_LARGE, (Placed("b", 1, 10),))


def test_the_first_word_to_a_sender_counts() -> None:
    """What a sender was told, and when, is not replaced by what is said later."""
    one = committed("a")
    began = time.time()
    one.tell("stored")
    told_at = one.answered_at
    assert told_at is not None
    assert began <= told_at <= time.time()
    one.tell("published")
    assert (one.answered, one.answered_at) == ("stored", told_at)


async def test_a_sender_who_waits_is_told_the_end() -> None:
    """With the last record, and not before, all who wait are let go; who has left meanwhile disturbs nobody."""
    one = committed("a", "b")
    waits: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(3)]
    one.waiting += waits
    one.awaited = True
    one.place(Placed("a", 0, 1))
    assert (one.answered, [wait.done() for wait in waits]) == (None, [False] * 3)
    waits[0].cancel()
    one.place(Placed("b", 0, 2))
    assert (one.answered, one.waiting) == ("published", [])
    assert [(wait.done(), wait.cancelled()) for wait in waits] == [(True, True), (True, False), (True, False)]


def test_nobody_is_told_who_does_not_wait() -> None:
    """Without a sender who waits, the end is no answer to anyone."""
    one = committed("a")
    one.place(Placed("a", 0, 1))
    assert (one.answered, one.answered_at) == (None, None)


@pytest.mark.parametrize(
    ("topics", "settled", "ended"),
    [("a", "a", [True]), ("ab", "ab", [False, True]), ("abc", "aacb", [False, False, False, True])],
)
def test_it_is_settled_once_all_topics_are(topics: str, settled: str, ended: list[bool]) -> None:
    """The end of each topic's record comes to disk for itself, and twice is as good as once."""
    one = committed(*topics)
    assert [one.settle(topic) for topic in settled] == ended
