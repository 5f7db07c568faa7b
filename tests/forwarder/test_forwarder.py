"""The forwarder: everything committed is published once and in order, by today's rules, whatever was before."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from relay.core.errors import Reason, Unavailable
from relay.core.model import Envelope, Status
from relay.core.pipeline import Pipeline
from relay.core.routing import compile_route
from relay.lane.committed import OBJECT_BYTES
from relay.metrics import LaneState
from relay.spool.store import Store
from tests.core.samples import ROUTES, SOURCE, deliver
from tests.forwarder.process import STARTED, body, entry_of, in_order, process, published
from tests.lane.fake_kafka import HANG, FakeKafka
from tests.spool.samples import look, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.forwarder import Forwarder
    from relay.spool import Journal, Journalled

ELSEWHERE = (compile_route("elsewhere", {"match": {}, "topics": ["elsewhere"]}),)
NOISE = (compile_route("noise", {"match": {}, "drop": True}),)
NOTHING = (compile_route("nothing", {"match": {"type": "None"}, "topics": ["nowhere"]}),)
OTHER = replace(SOURCE, name="other", path="/other")


@pytest.fixture
def kafka() -> FakeKafka:
    """Give a Kafka without topics."""
    return FakeKafka()


def in_memory(forwarder: Forwarder) -> int:
    """Count the records that the lane's cursor holds."""
    cursor = forwarder._cursors[STARTED]
    return len(cursor._page) + len(cursor._queue)


async def test_each_delivery_is_published_in_all_its_topics(kafka: FakeKafka, tmp_path: Path) -> None:
    """A delivery with several records is published when the last of them is in Kafka; then its lanes are let go."""
    kafka.create_topic("ops.provisioning-failed")
    kafka.create_topic("syskit.ProvisioningFailed")
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 31), "ProvisioningFailed")
        await running.forwarder.drain(10)
        assert running.spool.pending == 0
        for topic in kafka.topics:
            assert sorted(published(kafka, topic)) == list(range(1, 31))
            assert in_order(published(kafka, topic))
        assert running.total("relay_deliveries_published_total") == 30
        await until(lambda: not running.forwarder.lanes)
        await running.accept([31], "ProvisioningFailed")
        await running.forwarder.drain(10)
    assert len(published(kafka, "syskit.ProvisioningFailed")) == 31


async def test_what_was_pending_is_published_first_and_in_order(kafka: FakeKafka, tmp_path: Path) -> None:
    """After a restart what an earlier process left comes before what is new, also before the survey has ended."""
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 1201))
        await until(lambda: running.forwarder.lanes[STARTED].trouble is not None)
    kafka.create_topic(STARTED)
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1201, 1301))
        await running.forwarder.drain(20)
        assert running.spool.pending == 0
    assert sorted(published(kafka)) == list(range(1, 1301))
    assert in_order(published(kafka))


async def test_todays_rules_decide_except_in_flights(kafka: FakeKafka, tmp_path: Path) -> None:
    """What is pending is routed by today's rules; what was in a flight is published where it was bound to as well."""
    kafka.create_topic(STARTED, partitions=1)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await running.accept([1])
        await kafka.hung.wait()
        await running.accept([2])  # its flight is booked
        await running.accept(range(3, 11))
    kafka.create_topic("elsewhere", partitions=1)
    async with process(tmp_path, kafka, routes=ELSEWHERE) as running:
        await running.forwarder.drain(10)
        assert running.spool.pending == 0
    assert published(kafka) == [1, 2]
    assert published(kafka, "elsewhere") == list(range(1, 11))
    assert look(tmp_path / "spool.db", "SELECT count(*) FROM records") == [(12,)]


@pytest.mark.parametrize(
    ("routes", "status", "metric"),
    [
        (NOISE, ("dropped", None), "relay_deliveries_dropped_total"),
        (NOTHING, ("dead", Reason.UNROUTABLE), "relay_deliveries_dead_total"),
    ],
)
async def test_what_the_rules_leave_without_a_record_gets_its_verdict(
    kafka: FakeKafka, tmp_path: Path, routes: tuple[object, ...], status: tuple[str, Reason | None], metric: str
) -> None:
    """A pending delivery that today's rules drop or do not know comes to its end at start, counted once."""
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 11))
    async with process(tmp_path, kafka, routes=routes) as running:  # type: ignore[arg-type] # the parameters are routes
        await running.forwarder.drain(10)
        assert (running.spool.pending, running.total(metric)) == (0, 10)
        assert running.forwarder.lanes == {}
    assert look(tmp_path / "spool.db", "SELECT DISTINCT status, reason FROM deliveries") == [status]


@pytest.mark.parametrize("routes", [NOISE, NOTHING])
async def test_what_is_in_a_flight_gets_no_verdict(
    kafka: FakeKafka, tmp_path: Path, routes: tuple[object, ...]
) -> None:
    """A delivery whose record is in a flight is published, whatever today's rules say of it."""
    kafka.create_topic(STARTED, partitions=1)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await running.accept([1])
        await kafka.hung.wait()
    kafka.open_failures = 3  # the survey has ended before the flight is handed over
    async with process(tmp_path, kafka, routes=routes) as running:  # type: ignore[arg-type] # the parameters are routes
        await running.forwarder.drain(10)
        assert running.total("relay_deliveries_published_total") == 1
    assert published(kafka) == [1]
    assert look(tmp_path / "spool.db", "SELECT status FROM deliveries") == [("published",)]


async def test_orphans_wait_for_their_source(kafka: FakeKafka, tmp_path: Path) -> None:
    """Pending deliveries of a source that is gone stay, are counted once and hold up no stop, until it is back."""
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 11))
    kafka.create_topic(STARTED)
    async with process(tmp_path, kafka, sources=(OTHER,)) as running:
        await until(lambda: bool(running.forwarder.orphans))
        began = time.monotonic()
        await running.forwarder.drain(10)
        assert time.monotonic() - began < 5
        assert (running.forwarder.orphans, running.spool.pending) == ({"contoso": 10}, 10)
    async with process(tmp_path, kafka) as running:
        await running.forwarder.drain(10)
        assert (running.forwarder.orphans, running.spool.pending) == ({}, 0)
    assert in_order(published(kafka))
    assert len(published(kafka)) == 10


async def test_a_survey_that_is_repeated_counts_orphans_once(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When verdicts cannot be written the survey looks again; what it counted stays as it is."""
    monkeypatch.setattr("relay.forwarder.forwarder.RETRY", 0.01)
    async with process(tmp_path, kafka, sources=(SOURCE, OTHER), routes=ELSEWHERE) as running:
        await running.accept(range(1, 6))
        delivery = structs.replace(deliver(body(6)), source="other")
        processed = running.pipeline.process(delivery)
        await running.spool.append(entry_of(delivery, processed), lambda _: None)
    refusals = [1, 2, 3]
    write = type(running.spool).write

    async def refuse(spool: object, journal: Journal) -> Journalled:
        if refusals:
            refusals.pop()
            raise Unavailable("the disk is full")
        return await write(spool, journal)  # type: ignore[arg-type] # patched in for a method

    monkeypatch.setattr(type(running.spool), "write", refuse)
    async with process(tmp_path, kafka, sources=(OTHER,), routes=NOISE) as running:
        await running.forwarder.drain(10)
        assert (running.forwarder.orphans, running.spool.pending) == ({"contoso": 5}, 5)


async def test_a_flight_of_a_source_that_is_gone_holds_up_nobody(kafka: FakeKafka, tmp_path: Path) -> None:
    """A flight whose records' source is not configured is let go, counted; they wait, and others are published."""
    kafka.create_topic(STARTED, partitions=1)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await running.accept([1])
        await kafka.hung.wait()
    async with process(tmp_path, kafka, sources=(OTHER,)) as running:
        delivery = structs.replace(deliver(body(2)), source="other")
        processed = running.pipeline.process(delivery)
        add = running.forwarder.add
        await running.spool.append(
            entry_of(delivery, processed), lambda appended: add(appended.number, delivery, processed) and None
        )
        async with asyncio.timeout(10):
            await until(lambda: published(kafka) == [2])
        assert running.total("relay_possible_duplicates_total") == 1
    async with process(tmp_path, kafka) as running:
        await running.forwarder.drain(10)
        assert running.spool.pending == 0
    assert published(kafka) == [2, 1]


async def test_a_lane_that_lost_its_place_in_the_window_catches_up(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves the window before its lane took it is read from disk; then the lane is in the window again."""
    monkeypatch.setattr("relay.forwarder.forwarder.WINDOW_BYTES", 30 * OBJECT_BYTES)
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 201))
        lane = running.forwarder.lanes[STARTED]
        await until(lambda: lane.trouble is not None)
        assert lane.cursor.behind
        assert len(running.forwarder._cursors[STARTED]._queue) <= 30
        kafka.create_topic(STARTED)
        await running.accept(range(201, 251))
        await running.forwarder.drain(10)
        assert running.spool.pending == 0
        assert not lane.cursor.behind
    assert sorted(published(kafka)) == list(range(1, 251))
    assert in_order(published(kafka))


@pytest.mark.parametrize("event_type", ["ProvisioningStarted", "ProvisioningFailed"])
async def test_an_end_that_stands_although_it_was_told_as_failed_is_told_once(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event_type: str
) -> None:
    """A disk may fail behind a commit that is on it: the settlement that is repeated brings no end, and tells it."""
    for topic in (STARTED, "ops.provisioning-failed", "syskit.ProvisioningFailed"):
        kafka.create_topic(topic)
    failed: list[bool] = []
    finish = Store.finish

    def fail(store: Store) -> None:
        settles = store._open is not None and store._open[2]
        finish(store)
        if settles and not failed:
            failed.append(True)
            store.sound = False
            raise Unavailable("disk I/O error")

    monkeypatch.setattr(Store, "finish", fail)
    async with process(tmp_path, kafka) as running:
        with capture_logs() as logged:
            await running.accept(range(1, 6), event_type)
            await until(lambda: bool(failed) and running.total("relay_deliveries_published_total") >= 5)
            await running.accept([6], event_type)
            await until(lambda: running.total("relay_deliveries_published_total") >= 6)
        assert len(running.forwarder._window) == 0
        assert running.total("relay_deliveries_published_total") == 6
    told = [line for line in logged if line["event"] == "delivery.published"]
    assert sorted(line["delivery"] for line in told) == [1, 2, 3, 4, 5, 6]
    records = 1 if event_type == "ProvisioningStarted" else 2
    assert [len(line["records"]) for line in told] == [records] * 6


async def test_a_verdict_that_stands_although_it_was_told_as_failed_is_told_once(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The survey that is repeated finds nothing pending there any more, and tells the end all the same."""
    monkeypatch.setattr("relay.forwarder.forwarder.RETRY", 0.01)
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 6))
    failed: list[bool] = []
    finish = Store.finish

    def fail(store: Store) -> None:
        ends = store._open is not None and store._open[2]
        finish(store)
        if ends and not failed:
            failed.append(True)
            store.sound = False
            raise Unavailable("disk I/O error")

    monkeypatch.setattr(Store, "finish", fail)
    with capture_logs() as logged:
        async with process(tmp_path, kafka, routes=NOISE) as running:
            await until(lambda: running.total("relay_deliveries_dropped_total") >= 5)
            assert (failed, running.spool.pending) == ([True], 0)
            assert running.total("relay_deliveries_dropped_total") == 5
    assert sorted(line["delivery"] for line in logged if line["event"] == "delivery.dropped") == [1, 2, 3, 4, 5]


async def test_a_topic_in_trouble_delays_only_itself(kafka: FakeKafka, tmp_path: Path) -> None:
    """While one topic is missing the others are published, also what stands behind in the order of acceptance."""
    kafka.create_topic(STARTED)
    async with process(tmp_path, kafka) as running:
        await running.accept([1], "ProvisioningMissing")
        await running.accept([2])
        async with asyncio.timeout(5):
            await until(lambda: running.spool.pending == 1)
        assert published(kafka) == [2]
        assert running.forwarder.lanes["syskit.ProvisioningMissing"].state is LaneState.WAITING


async def test_an_answer_waits_for_kafka(kafka: FakeKafka, tmp_path: Path) -> None:
    """Waiting ends when every record is in Kafka, before that is on disk; the delivery knows where they are."""
    kafka.create_topic(STARTED)
    async with process(tmp_path, kafka, ack=30) as running:
        await running.accept([1])
        committed = running.forwarder.find(1)
        assert committed
        await asyncio.wait_for(running.forwarder.wait(committed), 5)
        assert committed.status is Status.PUBLISHED
        assert [placed.offset for placed in committed.placed] == [0]
        assert running.forwarder.waiting == 0


async def test_an_answer_does_not_wait_for_a_lane_in_trouble(kafka: FakeKafka, tmp_path: Path) -> None:
    """When a lane concerned waits out a failure there is no point in waiting: the delivery is on disk."""
    async with process(tmp_path, kafka, ack=30) as running:
        await running.accept([1])
        await until(lambda: running.forwarder.lanes[STARTED].trouble is not None)
        await running.accept([2])
        committed = running.forwarder.find(2)
        assert committed
        await asyncio.wait_for(running.forwarder.wait(committed), 1)
        assert committed.status is Status.PENDING


async def test_an_answer_waits_no_longer_than_configured(kafka: FakeKafka, tmp_path: Path) -> None:
    """Kafka that does not answer costs the sender `ack.timeout`."""
    kafka.create_topic(STARTED)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka, ack=0.2) as running:
        await running.accept([1])
        committed = running.forwarder.find(1)
        assert committed
        began = time.monotonic()
        await running.forwarder.wait(committed)
        assert 0.2 <= time.monotonic() - began < 1
        assert (committed.status, running.forwarder.waiting) == (Status.PENDING, 0)


async def test_an_answer_leaves_with_the_window(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a delivery that leaves the window is let go at once: nobody would tell him."""
    monkeypatch.setattr("relay.forwarder.forwarder.WINDOW_BYTES", 5 * OBJECT_BYTES)
    kafka.create_topic(STARTED)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka, ack=30) as running:
        await running.accept([1])
        committed = running.forwarder.find(1)
        assert committed
        waiting = asyncio.ensure_future(running.forwarder.wait(committed))
        await kafka.hung.wait()
        await running.accept(range(2, 8))
        await asyncio.wait_for(waiting, 1)
        assert running.forwarder.find(1) is None


@pytest.mark.slow
async def test_memory_is_flat_with_a_hundred_thousand_pending(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is pending, at start or by and by, a lane in trouble holds a page, and the window its bytes."""
    monkeypatch.setattr("relay.forwarder.forwarder.WINDOW_BYTES", 100 * OBJECT_BYTES)
    pipeline = Pipeline({SOURCE.name: SOURCE}, ROUTES, Envelope())
    with closing(Store(tmp_path / "spool.db", max_size=256 << 20, remembered=1000)) as store:
        for first in range(1, 100_001, 10_000):
            delivery = deliver(body(first))
            entry = entry_of(delivery, pipeline.process(delivery))
            entries = [structs.replace(entry, dedupe_id=str(n)) for n in range(first, first + 10_000)]
            store.commit(entries, (), time.time())
    async with process(tmp_path, kafka) as running:
        forwarder = running.forwarder
        await until(lambda: forwarder._surveyed == 100_000)
        kafka.create_topic(STARTED)
        kafka.faults.append(HANG)
        await kafka.hung.wait()
        assert len(forwarder._window) == 0
        assert in_memory(forwarder) <= 500
        await running.accept(range(200_000, 200_500))
        assert forwarder._window.size <= 100 * OBJECT_BYTES
        assert in_memory(forwarder) <= 500 + 100
