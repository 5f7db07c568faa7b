"""History: the topics of a cluster read back, as any subscriber with default settings reads them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from relay.kafka.attempt import unreachable
from relay.kafka.security import connection
from relay.kafka.values import KafkaUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from typing import Self

    from relay.config import Kafka
    from relay.core.model import Record

TOGETHER = 32  # partitions read at a time: each holds up to a megabyte
CLOCKS_APART = 60.0  # seconds by which a record's time may be before the time it is looked for: a topic may set its own
PATIENCE = 60.0  # seconds without a record until a partition that has more is given up

Place = tuple[str, int]


class Written(NamedTuple):
    """A record as it stands in Kafka; `sent_at` is its timestamp, in seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    sent_at: float
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class History:
    """Reads what topics hold. In no group, so it commits nothing and disturbs nobody; `read_uncommitted`.

    Every method raises `KafkaUnavailable`. The context manager connects and hangs up.
    """

    def __init__(self, config: Kafka) -> None:
        """Prepare. Raises OSError for unusable certificates."""
        self._connection = connection(config)
        self._timeout = config.request_timeout

    async def __aenter__(self) -> Self:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._connection)
        # What retention takes while it is read is gone: reading goes on with what is left.
        self._consumer = AIOKafkaConsumer(**self._connection, auto_offset_reset="earliest", enable_auto_commit=False)
        try:
            async with asyncio.timeout(self._timeout):
                await self._admin.start()
                await self._consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.__aexit__()
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        except BaseException:  # who asked waits no longer
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        for client_end in (self._consumer.stop, self._admin.close):
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(client_end(), 1)

    async def brokers(self) -> list[tuple[str, int]]:
        """Give the addresses that the brokers say they have."""
        try:
            described = await self._admin.describe_cluster()
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        return [(broker["host"], broker["port"]) for broker in described["brokers"]]

    async def partitions(self) -> Mapping[str, Collection[int]]:
        """Give the cluster's topics with their partitions."""
        try:
            described = await self._admin.describe_topics()
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        return {
            one["topic"]: [partition["partition"] for partition in one["partitions"]]
            for one in described
            if not one["is_internal"]
        }

    async def bounds(self, places: Collection[Place]) -> tuple[Mapping[Place, int], Mapping[Place, int]]:
        """Give the first offset that each partition retains, and the one behind its last."""
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}, {}
        try:
            firsts = await self._consumer.beginning_offsets(asked)
            ends = await self._consumer.end_offsets(asked)
        except (KafkaError, OSError, ValueError) as error:
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        return {tuple(at): first for at, first in firsts.items()}, {tuple(at): end for at, end in ends.items()}

    async def find(self, place: Place, records: Sequence[Record], since: float) -> int | None:
        """Look for a batch among what was sent since a time (seconds since the epoch); None when it is not there.

        Give the offset of its first record. One record is enough: a batch is written whole or not at all, and
        compaction takes records singly.
        """
        at = TopicPartition(*place)
        sought = {(one.key, one.value, tuple(one.headers)): number for number, one in enumerate(records)}
        try:
            begun = (await self._consumer.offsets_for_times({at: int((since - CLOCKS_APART) * 1000)}))[at]
        except (KafkaError, OSError, ValueError) as error:
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        if begun is None:
            return None
        _, ends = await self.bounds([place])
        async for written, _ in self.records({place: begun.offset}, ends):
            for one in written:
                if (number := sought.get((one.key, one.value, one.headers))) is not None:
                    return one.offset - number
        return None

    async def records(
        self, firsts: Mapping[Place, int], ends: Mapping[Place, int]
    ) -> AsyncIterator[tuple[list[Written], int]]:
        """Give the records from the first offsets up to the ends, in order by partition, and how far each step went."""
        places = [TopicPartition(*place) for place, end in ends.items() if firsts[place] < end]
        for start in range(0, len(places), TOGETHER):
            group = places[start : start + TOGETHER]
            self._consumer.assign(group)
            for at in group:
                self._consumer.seek(at, firsts[tuple(at)])
            async for batch in self._group({at: firsts[tuple(at)] for at in group}, ends):
                yield batch

    async def compacted(self, topics: Collection[str]) -> set[str]:
        """Tell which topics keep only the last record of each key; those that may not be asked are left out."""
        thinned = set()
        for topic in topics:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"cleanup.policy": None})
            with suppress(KafkaError, OSError, IndexError, TypeError):
                (answer,) = await self._admin.describe_configs([resource])
                thinned |= {topic for setting in answer.resources[0][4] if "compact" in str(setting[1])}
        return thinned

    async def delete(self, topics: Collection[str]) -> None:
        """Delete topics."""
        try:
            answer = await self._admin.delete_topics(list(topics))
            for topic, code in answer.topic_error_codes:
                if code:
                    raise for_code(code)(topic)
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error

    async def _group(
        self, positions: dict[TopicPartition, int], ends: Mapping[Place, int]
    ) -> AsyncIterator[tuple[list[Written], int]]:
        last_moved = asyncio.get_running_loop().time()
        while positions:
            try:
                fetched = await self._consumer.getmany(*positions, timeout_ms=200)
                moved = {at: await self._consumer.position(at) for at in positions}
            except (KafkaError, OSError) as error:
                raise KafkaUnavailable(await unreachable(error, self._connection)) from error
            step = sum(min(moved[at], ends[tuple(at)]) - position for at, position in positions.items())
            now = asyncio.get_running_loop().time()
            last_moved = now if step else last_moved
            if now - last_moved > PATIENCE:
                stuck = ", ".join(f"{at.topic}/{at.partition}" for at in positions)
                raise KafkaUnavailable(f"nothing more can be read of {stuck}")
            yield (
                [_written(record) for at in fetched for record in fetched[at] if record.offset < ends[tuple(at)]],
                step,
            )
            # By position and not by offsets read: the last offsets of a partition may hold no record.
            done = [at for at, position in moved.items() if position >= ends[tuple(at)]]
            if done:
                self._consumer.pause(*done)
            positions = {at: position for at, position in moved.items() if at not in done}


def _written(record: Any) -> Written:  # noqa: ANN401 - aiokafka has no types
    return Written(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp / 1000,
        record.key or b"",
        record.value or b"",
        tuple(record.headers),
    )
