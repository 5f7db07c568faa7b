"""Producer: one aiokafka producer, numbered by us, that can be killed in bounded time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, LeaderNotAvailableError
from aiokafka.partitioner import murmur2
from aiokafka.producer.transaction_manager import PidAndEpoch
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from relay.kafka.attempt import unreachable
from relay.kafka.refreshes import pace
from relay.kafka.refusals import refused
from relay.kafka.retries import noted
from relay.kafka.values import Acknowledged, Identity, KafkaUnavailable, Kind, Outcome, Refused
from relay.kafka.whereabouts import whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relay.core.model import Record
    from relay.kafka.security import Connection
    from relay.kafka.values import Hurried, Topic

LOOK = 0.2  # seconds after which a batch without an answer says so, and asks whether it is hurried
NO_LEADER = -1  # as metadata has it
KILL_STEP = 0.5  # seconds for each step of a kill
METADATA_AGE = 10_000  # milliseconds until partitions that were added are seen by a lane that is never idle
SEQUENCE_MAX = 2**30
# Bytes of a batch: aiokafka must never be the one to say full. The lanes bound what they make, and a flight of the
# past, which may be larger than the topic takes today, is for the broker to judge: it may have it.
ROOM = 2**31 - 1


@lru_cache(maxsize=65_536)
def _key_hash(key: bytes) -> int:
    """Give Java's positive murmur2, so that keys meet the partitions other producers use (5 us, thus cached)."""
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key, as Java's default partitioner does."""
    return _key_hash(key) % partitions


def record_size(record: Record) -> int:
    """Give the bytes a record takes in a batch of its own, rounded up."""
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(record.key, record.value, list(record.headers)))


class Producer:
    """Sends batches of one topic to Kafka (acks=all), each numbered so that it can be handed over again.

    What aiokafka keeps private and this needs (`_txn_manager` with its producer id and sequence
    numbers, `_sender` with its task, `_closed`) is reached here, why it tries again in `retries`, how often it asks
    where partitions are in `refreshes`, and nowhere else.
    """

    def __init__(self, topic: Topic, connection: Connection, *, idempotence: bool, delivery_timeout: float) -> None:
        """Prepare a producer for one topic; `open` connects it. `delivery_timeout` in seconds."""
        self._topic = topic
        self._connection = connection
        self._delivery_timeout = delivery_timeout
        self._producer = AIOKafkaProducer(
            **connection,
            acks="all",
            enable_idempotence=idempotence,
            linger_ms=0,
            max_batch_size=ROOM,
            max_request_size=ROOM,
            metadata_max_age_ms=METADATA_AGE,
        )
        self._producer.client.set_topics([topic.name])  # else each refresh would bring all that the cluster has
        pace(self._producer.client)
        self._retried = noted(self._producer)
        self._identity = Identity("", -1, -1)

    @property
    def identity(self) -> Identity:
        """The cluster, producer id and epoch under which batches are sent."""
        return self._identity

    @property
    def worn(self) -> bool:
        """Tell whether sequence numbers have come near the end, where aiokafka would wrap them wrongly."""
        numbers = self._producer._txn_manager._sequence_numbers if self._identity.idempotent else {}
        return any(number > SEQUENCE_MAX for number in numbers.values())

    @property
    def partitions(self) -> int:
        """The topic's partition count, as the last metadata had it."""
        return len(self._producer.client.cluster.partitions_for_topic(self._topic.name) or ()) or self._topic.partitions

    async def open(self, identity: Identity | None, timeout: float) -> None:  # noqa: ASYNC109 - start() needs a bound
        """Connect, and take `identity`, or one the broker gives. Raises `KafkaUnavailable`, leaving nothing open."""
        try:
            async with asyncio.timeout(timeout):
                await self._producer.start()
                await self._producer.partitions_for(self._topic.name)
                cluster = await whereabouts(self._producer.client, self._topic.name)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.kill()
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        except BaseException:
            await self.kill()
            raise
        manager = self._producer._txn_manager
        if manager and identity:
            manager._pid_and_epoch = PidAndEpoch(identity.producer_id, identity.producer_epoch)
        self._identity = Identity(
            cluster, manager.producer_id if manager else -1, manager.producer_epoch if manager else -1
        )

    def next_sequence(self, partition: int) -> int:
        """Give the sequence number that the next batch to this partition will start with."""
        manager = self._producer._txn_manager
        return int(manager.sequence_number(TopicPartition(self._topic.name, partition))) if manager else 0

    def rewind(self, partition: int, base_sequence: int) -> None:
        """Let the next batch to this partition start with a sequence number of the past."""
        manager = self._producer._txn_manager
        if manager:
            manager._sequence_numbers[TopicPartition(self._topic.name, partition)] = base_sequence

    async def send(
        self, batches: Mapping[int, Sequence[Record]], hurried: Hurried = lambda *_: False
    ) -> dict[int, Outcome]:
        """Send one batch to each partition named; wait for all of them, `delivery_timeout` at most, or until hurried.

        The records' timestamps are the time of sending: brokers forget producers by them. A batch that
        was not answered in time is curable, and may be in Kafka; the refusal has the last error that was retried.
        """
        futures: dict[int, asyncio.Future[Outcome]] = {
            partition: asyncio.ensure_future(self._send_one(partition, records))
            for partition, records in batches.items()
        }
        try:
            began, patience, waited, why = time.monotonic(), self._delivery_timeout, 0.0, ""
            waiting = set(futures.values())
            while waiting and waited < patience and not hurried(waited, why):
                _, waiting = await asyncio.wait(waiting, timeout=min(LOOK, patience - waited))
                waited = time.monotonic() - began
                why = self._why(partition for partition, future in futures.items() if future in waiting)
            late = f"no answer within {patience:g} s" if waited >= patience else "no answer while other topics waited"
            return {partition: self._outcome(partition, future, late) for partition, future in futures.items()}
        finally:
            for future in futures.values():
                future.cancel()

    async def kill(self) -> None:
        """Leave at once, whatever the cluster does: about a second at most.

        Nothing is flushed: what was not acknowledged is in a flight. `stop()` would hang as long as
        the cluster is away (aiokafka#1101, #1039). The first cancel of the sender's task is swallowed.
        """
        self._producer._closed = True
        sender = self._producer._sender.sender_task
        for _ in range(2):
            if sender and not sender.done():
                sender.cancel()
                await asyncio.wait([sender], timeout=KILL_STEP / 2)
        with suppress(TimeoutError, KafkaError, OSError):
            await asyncio.wait_for(self._producer.client.close(), KILL_STEP)

    async def _send_one(self, partition: int, records: Sequence[Record]) -> Outcome:
        batch, now = self._producer.create_batch(), int(time.time() * 1000)
        for record in records:
            batch.append(key=record.key, value=record.value, timestamp=now, headers=list(record.headers))
        batch.close()
        self._retried.pop(TopicPartition(self._topic.name, partition), None)
        try:
            future = await self._producer.send_batch(batch, self._topic.name, partition=partition)
            offset = (await future).offset
        except (KafkaError, OSError, AssertionError) as error:  # AssertionError: the partition is gone
            return refused(error)
        return Acknowledged(offset if offset >= 0 else None)

    def _outcome(self, partition: int, future: asyncio.Future[Outcome], late: str) -> Outcome:
        if future.done():
            return future.result()
        parts = (late, self._why([partition]), "the records may be in Kafka")
        return Refused(Kind.CURABLE, "; ".join(part for part in parts if part))

    def _why(self, partitions: Iterable[int]) -> str:
        """Say why the first of these partitions that has a reason does not answer; nothing when none is known."""
        for partition in partitions:
            at = TopicPartition(self._topic.name, partition)
            led = self._producer.client.cluster.leader_for_partition(at) not in {None, NO_LEADER}
            error = self._retried.get(at) if led else LeaderNotAvailableError()
            if error:
                return f"the last error was {refused(error).error}, of partition {partition}"
        return ""
