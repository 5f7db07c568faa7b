"""Cursors: each lane sees each of its records once, in order, whether in the window or on disk."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Unavailable
from relay.core.model import Placed, Record
from relay.forwarder.cursor import Cursor
from relay.forwarder.window import Window
from relay.lane import Committed, Item
from relay.lane.committed import OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPICS = ("a", "b", "c")


def committed(number: int, topics: Sequence[str]) -> Committed:
    """Give a delivery with a record of a hundred bytes for each topic."""
    return Committed(
        number=number, source="s", event_id=str(number), type="t", routes=(), received_at=0.0,
        records=tuple(Record(topic, b"", bytes(100)) for topic in topics), topics=tuple(topics),
    )  # fmt: skip


@dataclass
class World:
    """A fake backlog with a window above it and a cursor for each topic; the spool in a model.

    `open` holds what is on disk and not settled, by number: the topics whose records are still to come.
    """

    window: Window
    page_size: int = 2
    open: dict[int, list[str]] = field(default_factory=dict)
    inside: dict[int, Committed] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})
    expected: dict[str, list[int]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})
    aloft: dict[str, list[Item]] = field(default_factory=dict)
    reads: int = 0

    async def read(self, after: int, until: int) -> tuple[Sequence[Committed], int]:
        """Read a page, as `Backlog.read`: what is pending, with what is open of it."""
        self.reads += 1
        found = [number for number in sorted(self.open) if after < number <= until][: self.page_size]
        await asyncio.sleep(0)
        page = [committed(number, self.open[number]) for number in found if self.open.get(number)]
        return page, found[-1] if found else until

    def inherit(self, topics: Sequence[str]) -> None:
        """Let a delivery be on disk from before."""
        self.window.last += 1
        self._store(topics)

    def start(self) -> None:
        """Open a cursor for each topic, at the oldest pending delivery."""
        for topic in TOPICS:
            self.cursors[topic] = Cursor(topic, self.window, self.read, position=0, behind=bool(self.open))

    def accept(self, topics: Sequence[str]) -> None:
        """Take in a delivery as the forwarder does."""
        one = committed(self.window.last + 1, topics)
        self.inside[one.number] = one
        for gone in self.window.add(one):
            for record in gone.records:
                self.cursors[record.topic].miss(gone)
        self._store(topics)
        for record in one.records:
            self.cursors[record.topic].push(Item(one, record))

    async def take(self, topic: str, count: int, meanwhile: Sequence[Sequence[str]] = ()) -> None:
        """Let a lane take up to so many of what waits; `meanwhile` comes while it journals them.

        What it took is settled with what it takes next, as in a lane: until then it can be read from disk again.
        """
        items = list(await self.cursors[topic].peek(100 * count))[:count]
        for topics in meanwhile:
            self.accept(topics)
        for item in self.aloft.pop(topic, ()):
            self._settle(item, topic)
        self.window.trim()
        if items:
            self.seen[topic] += [item.number for item in items]
            self.cursors[topic].advance(items[-1].number)
            self.aloft[topic] = items
            async with self.cursors[topic].reading_on():  # while Kafka answers
                await asyncio.sleep(0)

    def _store(self, topics: Sequence[str]) -> None:
        number = self.window.last
        self.open[number] = list(topics)
        for topic in topics:
            self.expected[topic].append(number)

    def _settle(self, item: Item, topic: str) -> None:
        self.open[item.number].remove(topic)
        if not self.open[item.number]:
            del self.open[item.number]
            if item.number in self.inside:
                self.inside[item.number].settled = True


def world(room: int = 5) -> World:
    """Give a world whose window has room for so many deliveries of one record."""
    return World(Window(room * (OBJECT_BYTES + 100)))


topics = st.lists(st.sampled_from(TOPICS), unique=True, min_size=1)
takes = st.tuples(st.sampled_from(TOPICS), st.integers(1, 4), st.lists(topics, max_size=3))
steps = st.lists(st.one_of(topics, takes), max_size=80)


@given(st.integers(1, 8), st.integers(1, 4), st.lists(topics, max_size=12), steps)
def test_each_lane_sees_each_of_its_records_once_in_order(
    room: int, page_size: int, inherited: list[list[str]], history: list[list[str] | tuple[str, int, list[list[str]]]]
) -> None:
    """Whatever was pending, comes, is taken by whom and evicted in between: no lane misses, repeats or reorders."""

    async def live() -> None:
        it = world(room)
        it.page_size = page_size
        for each in inherited:
            it.inherit(each)
        it.start()
        for step in history:
            if isinstance(step, list):
                it.accept(step)
            else:
                await it.take(*step)
            for topic in TOPICS:
                assert it.seen[topic] == it.expected[topic][: len(it.seen[topic])]
        for topic in TOPICS:
            # Each take moves on, unless nothing is left.
            for _ in range(len(it.expected[topic]) + 1):
                await it.take(topic, 3)
            assert it.seen[topic] == it.expected[topic]
            assert it.cursors[topic].idle
            assert not it.cursors[topic].behind

    asyncio.run(live())


@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 20))
def test_what_comes_and_goes_while_a_page_is_read_is_not_missed(room: int, before: int, during: int) -> None:
    """Deliveries that come, and evict others, while a lane reads from disk are seen once and in order."""

    async def live() -> None:
        it = world(room)
        it.start()
        for _ in range(before):
            it.accept(["a"])
        coming = iter(range(during))
        read = it.read

        async def busy(after: int, until: int) -> tuple[Sequence[Committed], int]:
            page = await read(after, until)
            for _ in itertools.islice(coming, 3):
                it.accept(["a"])
            return page

        it.cursors["a"]._read = busy
        for _ in range(before + during + 1):
            await it.take("a", 2)
        for _ in coming:
            it.accept(["a"])
        while len(it.seen["a"]) < len(it.expected["a"]):
            await it.take("a", 2)
        assert it.seen["a"] == it.expected["a"]

    asyncio.run(live())


async def test_inside_the_window_the_disk_is_not_read() -> None:
    """A lane that keeps up never reads the spool."""
    it = world()
    it.start()
    for _ in range(50):
        it.accept(["a"])
        await it.take("a", 1)
    assert (it.seen["a"], it.reads) == (list(range(1, 51)), 0)


async def test_a_lane_below_the_window_is_behind_until_it_has_caught_up() -> None:
    """Eviction of what a lane has not taken makes it behind, no other; reading up to the window ends that."""
    it = world(room=3)
    it.start()
    for _ in range(3):
        it.accept(["b"])
        await it.take("b", 1)
    for _ in range(5):
        it.accept(["a"])
    assert [it.cursors[topic].behind for topic in TOPICS] == [True, False, False]
    for _ in range(5):
        await it.take("a", 1)
    await it.cursors["a"].peek(1)
    assert it.seen["a"] == [4, 5, 6, 7, 8]
    assert not it.cursors["a"].behind


async def test_peek_gives_at_least_one_and_moves_nothing() -> None:
    """A record larger than asked for is given alone; looking twice gives the same."""
    it = world()
    it.start()
    it.accept(["a"])
    it.accept(["a"])
    cursor = it.cursors["a"]
    assert [[item.number for item in await cursor.peek(size)] for size in (1, 199, 200, 200)] == [
        [1],
        [1],
        [1, 2],
        [1, 2],
    ]
    assert cursor.first is not None
    assert cursor.first.number == 1


async def test_a_spool_that_cannot_be_read_costs_no_place() -> None:
    """When a page cannot be read the lane hears of it, and finds its place again."""
    it = world()
    for _ in range(3):
        it.inherit(["a"])
    it.start()
    cursor, read = it.cursors["a"], it.read

    async def broken(after: int, until: int) -> tuple[Sequence[Committed], int]:
        raise Unavailable("the spool could not be read")

    await it.take("a", 1)
    cursor._read = broken
    await it.take("a", 1)
    with pytest.raises(Unavailable):
        await cursor.peek(100)
    cursor._read = read
    await it.take("a", 1)
    assert it.seen["a"] == [1, 2, 3]


async def test_a_lane_waits_for_its_next_record() -> None:
    """Waiting ends with the record, or when the time is over; with one there already it does not begin."""
    it = world()
    it.start()
    cursor = it.cursors["a"]
    assert not await cursor.wait(0.01)
    waiting = asyncio.ensure_future(cursor.wait(30))
    await asyncio.sleep(0)
    it.accept(["b"])
    await asyncio.sleep(0)
    assert not waiting.done()
    it.accept(["a"])
    assert await waiting
    assert await cursor.wait(30)


async def test_a_waiter_is_released_by_the_last_record() -> None:
    """Whoever waits for a delivery goes on when each of its records is in Kafka, or dead."""
    one = committed(1, ["a", "b"])
    released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    one.waiting.append(released)
    one.place(Placed("a", 0, 0))
    assert (released.done(), one.acknowledged) == (False, False)
    one.place(Placed("b", 0, 0))
    assert (released.done(), one.acknowledged) == (True, True)
