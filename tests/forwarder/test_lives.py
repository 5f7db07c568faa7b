"""How lanes begin and how the forwarder ends, at the moments when something else happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from relay.forwarder.backlog import Backlog
from tests.core.samples import deliver
from tests.forwarder.process import STARTED, body, entry_of, process, published
from tests.lane.fake_kafka import HANG, FakeKafka, FakeProducer
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from relay.core.model import Record
    from relay.kafka import Hurried, Outcome
    from relay.lane import Committed
    from relay.spool import Appended, Journal, Journalled
    from tests.forwarder.process import Process

LATER = "ProvisioningCompleted"


async def backlog(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    """Leave thirty deliveries pending, which the next process reads ten at a time; give their Kafka."""
    monkeypatch.setattr("relay.spool.reader.PAGE_ROWS", 10)
    kafka = FakeKafka()
    async with process(folder, kafka) as running:
        await running.accept(range(1, 31))
    kafka.create_topic(STARTED, partitions=1)
    return kafka


def _in_hand(running: Process) -> list[int]:
    """Give the numbers of what the one lane has read from disk and not journalled."""
    return [item.number for item in running.forwarder._cursors[STARTED]._page]


async def test_the_record_that_opens_a_lane_comes_first_even_if_it_leaves_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane begins before the record it was opened for, however many follow before its topic is there."""
    monkeypatch.setattr("relay.forwarder.forwarder.WINDOW_BYTES", 5_000)
    kafka = FakeKafka()
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 31))
        await until(lambda: bool(running.forwarder.lanes[STARTED].trouble))
        kafka.create_topic(STARTED, partitions=1)
        await until(lambda: running.spool.pending == 0)
    assert published(kafka) == list(range(1, 31))


async def test_a_lane_reads_on_while_kafka_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pending on disk is read a piece at a time, and the next piece not only once the last one is in Kafka."""
    kafka = await backlog(tmp_path, monkeypatch)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await kafka.hung.wait()
        await until(lambda: _in_hand(running) == list(range(11, 21)))
        assert published(kafka) == []
    async with process(tmp_path, kafka) as running:
        await until(lambda: running.spool.pending == 0)
    assert published(kafka) == list(range(1, 31))


async def test_what_kafka_acknowledged_while_a_lane_reads_on_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stalls holds up the next round, not what is known of the last one; a stop then settles that."""
    kafka = await backlog(tmp_path, monkeypatch)
    read, never = Backlog.read, asyncio.Event()

    async def stalling(of: Backlog, after: int, until: int) -> tuple[Sequence[Committed], int]:
        if after >= 10:
            await never.wait()
        return await read(of, after, until)

    monkeypatch.setattr(Backlog, "read", stalling)
    async with process(tmp_path, kafka) as running:
        await until(lambda: running.total("relay_records_published_total") == 10)
    monkeypatch.setattr(Backlog, "read", read)
    async with process(tmp_path, kafka) as running:
        assert not any(lane.flights for lane in running.forwarder.lanes.values())
        await until(lambda: running.spool.pending == 0)
    assert published(kafka) == list(range(1, 31))


async def test_what_was_read_ahead_in_vain_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that breaks gives the read beside it up, or two would put the same records into the lane."""
    kafka = await backlog(tmp_path, monkeypatch)
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.0)
    read, stalled, go_on = Backlog.read, asyncio.Event(), asyncio.Event()

    async def stalling(of: Backlog, after: int, until: int) -> tuple[Sequence[Committed], int]:
        page = await read(of, after, until)
        if after == 10 and not stalled.is_set():
            stalled.set()
            await go_on.wait()
        elif after == 10:  # now would the other one come back
            go_on.set()
            await asyncio.sleep(0)
        return page

    send, failed = FakeProducer.send, asyncio.Event()

    async def failing(
        producer: FakeProducer, batches: Mapping[int, Sequence[Record]], hurried: Hurried
    ) -> dict[int, Outcome]:
        if not failed.is_set():
            await stalled.wait()
            failed.set()
            raise ValueError("a fault of ours")
        return await send(producer, batches, hurried)

    monkeypatch.setattr(Backlog, "read", stalling)
    monkeypatch.setattr(FakeProducer, "send", failing)
    async with process(tmp_path, kafka) as running:
        await failed.wait()
        await until(lambda: not running.forwarder.lanes)
    assert published(kafka) == list(range(1, 31))


async def test_a_fault_in_reading_on_breaks_no_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round that is on its way comes to its end first, and is not left to itself."""
    kafka = await backlog(tmp_path, monkeypatch)
    monkeypatch.setattr("relay.lane.lane.BACKOFF_FIRST", 0.0)
    read = Backlog.read
    failed: list[bool] = []

    async def failing(of: Backlog, after: int, until: int) -> tuple[Sequence[Committed], int]:
        if after == 10 and not failed:
            failed.append(True)
            raise ValueError("a fault of ours")
        return await read(of, after, until)

    monkeypatch.setattr(Backlog, "read", failing)
    async with process(tmp_path, kafka) as running:
        await until(lambda: running.spool.pending == 0)
        assert (failed, running.total("relay_lane_recoveries_total")) == ([True], 0)
    assert published(kafka) == list(range(1, 31))


async def test_a_stop_ends_although_a_commit_comes_back_in_its_midst(tmp_path: Path) -> None:
    """What comes to disk while lanes are ended opens no lane that nobody would end; the next start publishes it."""
    kafka = FakeKafka()
    kafka.create_topic(STARTED)
    async with asyncio.timeout(10):
        async with process(tmp_path, kafka) as running:
            delivery = deliver(body(1, LATER))
            processed = running.pipeline.process(delivery)

            def on_disk(appended: Appended) -> None:
                running.forwarder.add(appended.number, delivery, processed)

            appending = asyncio.ensure_future(running.spool.append(entry_of(delivery, processed), on_disk))
            await running.forwarder.stop()
            await appending
            assert running.forwarder.lanes == {}
        kafka.create_topic(f"syskit.{LATER}")
        async with process(tmp_path, kafka) as running:
            await until(lambda: running.spool.pending == 0)
    assert published(kafka, f"syskit.{LATER}") == [1]


async def test_a_stop_in_the_midst_of_a_commit_tells_what_came_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settlement is on disk, and its lane is ended before it hears of it: the outcome is told all the same."""
    kafka = FakeKafka()
    kafka.create_topic(STARTED)
    written, heard = asyncio.Event(), asyncio.Event()
    with capture_logs() as told:
        async with process(tmp_path, kafka) as running:
            write = running.spool.write

            async def late(journal: Journal) -> Journalled:
                journalled = await write(journal)
                if journal.settlements:
                    written.set()
                    await heard.wait()
                return journalled

            monkeypatch.setattr(running.spool, "write", late)
            await running.accept(range(1, 2))
            await written.wait()
            stopping = asyncio.ensure_future(running.forwarder.stop())
            await asyncio.sleep(0)  # it has cancelled the lane
            heard.set()
            await stopping
            assert running.spool.pending == 0
    assert [line["delivery"] for line in told if line["event"] == "delivery.published"] == [1]


async def test_what_a_lane_owes_is_known_wherever_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records and age of a topic in trouble are counted beyond the window and after a restart, and end at nothing."""
    monkeypatch.setattr("relay.forwarder.forwarder.WINDOW_BYTES", 5_000)
    kafka = FakeKafka()
    kafka.create_topic(STARTED, partitions=1)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 31))
        await kafka.hung.wait()
        lane = running.forwarder.lanes[STARTED]
        assert running.forwarder.tally.of(STARTED).records == 30
        assert running.forwarder.tally.of(STARTED).size > 30 * 100
        assert running.forwarder.waiting_since(lane) is not None
    kafka.open_failures = 1_000_000
    async with process(tmp_path, kafka) as running:
        await running.accept(range(31, 41))
        await until(lambda: running.forwarder._surveyed == 30 and running.spool.pending_since is not None)
        assert running.forwarder.tally.of(STARTED).records == 40
        assert running.forwarder.waiting_since(running.forwarder.lanes[STARTED]) is not None
        kafka.open_failures = 0
        # What the thread has written is told to the forwarder a moment later.
        await until(lambda: running.spool.pending == running.forwarder.tally.of(STARTED).records == 0)
    assert sorted(published(kafka)) == list(range(1, 41))


async def test_the_outcome_names_every_record_also_after_a_restart(tmp_path: Path) -> None:
    """The line of a delivery says where all its records are, whichever lane was the last, by topic."""
    kafka = FakeKafka()
    async with process(tmp_path, kafka) as running:
        await running.accept(range(1, 4), "ProvisioningFailed")
    kafka.create_topic("syskit.ProvisioningFailed")
    kafka.create_topic("ops.provisioning-failed")
    with capture_logs() as told:
        async with process(tmp_path, kafka) as running:
            await until(lambda: running.spool.pending == 0)
    lines = [line for line in told if line["event"] == "delivery.published"]
    topics = ["ops.provisioning-failed", "syskit.ProvisioningFailed"]
    assert [[record.topic for record in line["records"]] for line in lines] == [topics] * 3


async def test_what_is_settled_while_the_survey_reads_it_is_owed_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that had a flight reads on by itself, and may be ahead of the survey, also of the page it has in hand."""
    kafka = FakeKafka()
    kafka.create_topic(STARTED, partitions=1)
    kafka.faults.append(HANG)
    async with process(tmp_path, kafka) as running:
        await running.accept([1])
        await kafka.hung.wait()
        await running.accept(range(2, 31))
    survey = Backlog.survey
    over = asyncio.Event()

    async def late(backlog: Backlog, after: int, until: int) -> object:
        page = await survey(backlog, after, until)
        await over.wait()
        return page

    monkeypatch.setattr(Backlog, "survey", late)
    async with process(tmp_path, kafka) as running:
        await until(lambda: running.total("relay_deliveries_published_total") == 30)  # so the lane has heard of each
        over.set()
        await until(lambda: running.forwarder._surveyed == 30)
        assert running.forwarder.tally.of(STARTED).records == 0
    assert published(kafka) == list(range(1, 31))
