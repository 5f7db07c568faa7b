"""What a subscriber reads: every record of a topic, as any consumer with default settings gets it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code


class StoredRecord(NamedTuple):
    """A record with its place in Kafka; `timestamp` is in milliseconds since the epoch."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


async def read_topic(bootstrap_servers: str, topic: str, patience: float = 30.0) -> list[StoredRecord]:
    """Give every record of a topic, sorted by partition and offset.

    Complete up to the end offsets at the time of the call. Raises `TimeoutError` when they were not reached in
    `patience` seconds, and aiokafka's `UnknownTopicOrPartitionError` when there is no such topic.
    """
    # No group, so that nothing is committed and every reading begins at the beginning.
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="none")
    try:
        async with asyncio.timeout(patience):
            partitions = await _partitions(bootstrap_servers, topic)
            await consumer.start()
            consumer.assign(partitions)
            return sorted(await _read(consumer))
    finally:
        await consumer.stop()


async def _partitions(bootstrap_servers: str, topic: str) -> list[TopicPartition]:
    # Asked for by the admin client: the consumer itself waits for a topic that is not there.
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        (description,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if description["error_code"]:
        raise for_code(description["error_code"])(topic)
    return [TopicPartition(topic, partition["partition"]) for partition in description["partitions"]]


async def _read(consumer: AIOKafkaConsumer) -> list[StoredRecord]:
    ends = await consumer.end_offsets(consumer.assignment())
    # Not `seek_to_beginning`: a reset to the default position that is still under way overtakes it.
    for partition, beginning in (await consumer.beginning_offsets(consumer.assignment())).items():
        consumer.seek(partition, beginning)
    records: list[StoredRecord] = []
    # By position and not by offsets read: the last offsets of a partition may hold no record.
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        for partition, batch in (await consumer.getmany(timeout_ms=100)).items():
            records += [
                StoredRecord(r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                for r in batch
                if r.offset < ends[partition]
            ]
    return records
