"""Lives of a lane: a process that begins with what the spool holds, and ends in order or by a crash."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from relay.core.model import Delivery, Record, Status
from relay.lane import Batch, Committed, Item, Lane, Neighbours, Permits
from relay.metrics import Metrics
from relay.spool import Entry, Journal, Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import Self

    from relay.kafka import Hurried, Identity, Outcome, Topic
    from relay.lane import Journals, Kafka, Producer
    from relay.spool import Done, Flight, Journalled

IDLE = 0.02
KEYS = 6


class Crash(BaseException):
    """The process is gone: nothing of ours may catch this."""


class Doom:
    """Crashes at a step: each write to the spool has two (before, after), each send three (and in its midst)."""

    def __init__(self, step: int | None = None) -> None:
        """Crash at the step of this number, from 0; never when it is None."""
        self._steps = itertools.count()
        self._at = step

    def step(self) -> None:
        """Pass a step, or crash there."""
        if next(self._steps) == self._at:
            raise Crash


class DoomedSpool:
    """A spool whose process may crash before a commit, or after it and before it is told."""

    def __init__(self, spool: Journals, doom: Doom) -> None:
        """Write to `spool`."""
        self._spool = spool
        self.rest = spool.rest
        self._doom = doom

    async def write(self, journal: Journal) -> Journalled:
        """Write, or crash."""
        self._doom.step()
        journalled = await self._spool.write(journal)
        self._doom.step()
        return journalled


class DoomedProducer:
    """A producer whose process may crash before, while and after it sends."""

    def __init__(self, producer: Producer, doom: Doom) -> None:
        """Send by `producer`."""
        self._producer = producer
        self._doom = doom
        self.rewind, self.next_sequence, self.kill = producer.rewind, producer.next_sequence, producer.kill
        self.identity = producer.identity

    @property
    def worn(self) -> bool:
        """As the producer says."""
        return self._producer.worn

    @property
    def partitions(self) -> int:
        """As the producer says."""
        return self._producer.partitions

    async def send(self, batches: Mapping[int, Sequence[Record]], hurried: Hurried) -> dict[int, Outcome]:
        """Send, or crash."""
        self._doom.step()
        sending = asyncio.ensure_future(self._producer.send(batches, hurried))
        try:
            await asyncio.wait([sending], timeout=0.001)
            self._doom.step()
            outcomes = await sending
        finally:
            sending.cancel()
        self._doom.step()
        return outcomes


class DoomedKafka:
    """Kafka for a process that may crash. `max_batch` is what it believes of every topic, the truth when None."""

    def __init__(self, kafka: Kafka, doom: Doom | None = None, max_batch: int | None = None) -> None:
        """Stand before `kafka`."""
        self._kafka = kafka
        self._doom = doom or Doom()
        self._max_batch = max_batch
        self.find = kafka.find

    async def topic(self, name: str) -> Topic:
        """Find a topic."""
        found = await self._kafka.topic(name)
        return type(found)(name, found.partitions, self._max_batch or found.max_batch)

    async def open_producer(self, topic: Topic, identity: Identity | None = None) -> Producer:
        """Open a producer that may crash."""
        return DoomedProducer(await self._kafka.open_producer(topic, identity), self._doom)


class Line:
    """The simplest cursor: everything waits in memory; see `relay.lane.Cursor`."""

    behind = False

    def __init__(self, items: Iterable[Item] = ()) -> None:
        """Hold items in order of acceptance."""
        self.items = deque(items)
        self.arrival = asyncio.Event()

    def push(self, *items: Item) -> None:
        """Hear of more."""
        self.items.extend(items)
        self.arrival.set()

    @property
    def waiting(self) -> Iterable[Item]:
        """Give all."""
        return self.items

    async def peek(self, max_bytes: int) -> Sequence[Item]:
        """Give what has room, at least one."""
        sizes = itertools.accumulate(len(item.record.value) + len(item.record.key) for item in self.items)
        fitting = [item for item, size in zip(self.items, sizes, strict=False) if size <= max_bytes]
        return fitting or list(self.items)[:1]

    def reading_on(self) -> AbstractAsyncContextManager[None]:
        """Find all in memory."""
        return nullcontext()

    def advance(self, number: int) -> None:
        """Move on."""
        while self.items and self.items[0].number <= number:
            self.items.popleft()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - as the protocol has it
        """Wait for more."""
        self.arrival.clear()
        if self.items:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self.arrival.wait(), timeout)
        return bool(self.items)


def record_of(topic: str, number: int, size: int = 0) -> Record:
    """Give the record that a delivery of this number always has; it is known by the value's first word."""
    return Record(topic, b"key-%d" % (number % KEYS), (b"%d " % number).ljust(size, b"."), (("h", b"v"),))


def number_of(value: bytes) -> int:
    """Give the number of a record's delivery."""
    return int(value.split()[0])


class Life:
    """The durable part of a relay with one topic, and the lives of its lane: as many as a test wants.

    `sizes` are of the records' values, by delivery number; the others are as small as can be.
    """

    def __init__(self, folder: Path, topic: str, sizes: Mapping[int, int] | None = None) -> None:
        """Prepare; a context manager opens and closes the spool."""
        self.topic = topic
        self.path = folder / "spool.db"
        self.metrics = Metrics(sources=("s",), types=(), dropping=(), topics=(topic,), version="0")
        self.spool = Spool(self.path, max_size=64 << 20, retention=1e6, remembered=10_000, metrics=self.metrics)
        self.done: list[Done] = []
        self._sizes = sizes or {}

    async def __aenter__(self) -> Self:
        await self.spool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.spool.__aexit__()

    async def accept(self, count: int) -> list[Item]:
        """Store deliveries with one record each; give these."""
        first = self.spool.last_number + 1
        appends = []
        for number in range(first, first + count):
            delivery = Delivery("s", b"{}", "", "", 0.0)
            entry = Entry(delivery, str(number), None, str(number), b"%16d" % number, Status.PENDING)
            appends.append(self.spool.append(entry, lambda _: None))
        await asyncio.gather(*appends)
        return [self.item(number) for number in range(first, first + count)]

    def item(self, number: int) -> Item:
        """Give the item of a delivery."""
        record = record_of(self.topic, number, self._sizes.get(number, 0))
        committed = Committed(
            number=number, source="s", event_id=str(number), type="", routes=(), received_at=0.0,
            records=(record,), topics=(self.topic,),
        )  # fmt: skip
        return Item(committed, record)

    async def flights(self) -> list[Batch]:
        """Read the flights that are journalled."""
        return [
            Batch(flight, tuple(self.item(number) for number, _ in flight.items))
            for flight in await self.spool.flights()
        ]

    async def board(self, flight: Flight, items: Sequence[Item]) -> Batch:
        """Journal a flight with these items, as an earlier process would have."""
        numbered = tuple((item.number, item.record.key) for item in items)
        journalled = await self.spool.write(Journal(flights=(replace(flight, items=numbered),)))
        return Batch(journalled.flights[0], tuple(items))

    async def waiting(self) -> list[Item]:
        """Read what is pending and in no flight."""
        flying = {number for flight in await self.spool.flights() for number, _ in flight.items}
        pending: list[Item] = []
        after = 0
        while page := await self.spool.page(after, self.spool.last_number):
            pending += [self.item(stored.number) for stored in page if stored.number not in flying]
            after = page[-1].number
        return pending

    def neighbours(self, kafka: Kafka, journals: Journals | None = None, **other: float) -> Neighbours:
        """Give a lane's neighbours."""
        return Neighbours(
            kafka=kafka, journals=journals or self.spool, permits=Permits(1), metrics=self.metrics,
            on_done=lambda dones, _: self.done.extend(dones),
            producer_memory=other.get("producer_memory", 3600.0), idle_timeout=other.get("idle_timeout", IDLE),
        )  # fmt: skip

    async def lane(self, kafka: Kafka, journals: Journals | None = None) -> Lane:
        """Give the lane of a process that has just started."""
        neighbours = self.neighbours(kafka, journals)
        return Lane(self.topic, Line(await self.waiting()), neighbours, await self.flights())

    async def live(self, kafka: Kafka, doom: Doom | None = None, max_batch: int | None = None) -> bool:
        """Let one process publish until it is idle (True), or crashes (False)."""
        doom = doom or Doom()
        lane = await self.lane(DoomedKafka(kafka, doom, max_batch), DoomedSpool(self.spool, doom))
        try:
            await lane.run()
        except Crash:
            return False
        return True

    def count(self, name: str) -> float:
        """Read a counter of this topic."""
        families = text_string_to_metric_families(self.metrics.render().decode())
        samples = (sample for family in families for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and s.labels.get("topic") == self.topic)

    @property
    def doubts(self) -> float:
        """How many records were counted as possible duplicates."""
        return self.count("relay_possible_duplicates_total")

    @property
    def recoveries(self) -> float:
        """How many recoveries were counted."""
        return self.count("relay_lane_recoveries_total")
