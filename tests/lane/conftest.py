"""A Kafka for lanes: the fake, and the real one, which pass the same suite."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest

from relay.config.model import Kafka as Config
from relay.config.model import Topics
from relay.kafka import Cluster
from tests.kafka.admin import Admin
from tests.kafka.reader import read_topic
from tests.lane.fake_kafka import FakeKafka

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relay.lane import Kafka
    from tests.kafka.cluster import Cluster as Brokers

LIMIT = 1_048_588  # Kafka's own max.message.bytes


class Scene(Protocol):
    """A Kafka that a lane publishes into, and a subscriber's view of it. Topics are never created by being used."""

    @property
    def kafka(self) -> Kafka:
        """What the lane is given."""

    async def create(self, topic: str, partitions: int = 3, limit: int = LIMIT) -> None:
        """Create a topic; `limit` is the largest batch, in bytes."""

    async def limit(self, topic: str, limit: int) -> None:
        """Change a topic's largest batch."""

    async def make_anew(self, topic: str) -> None:
        """Delete a topic, and create it again as it was."""

    async def read(self, topic: str) -> Sequence[Sequence[bytes]]:
        """Read the values of every partition, in order."""


class FakeScene:
    """The fake."""

    def __init__(self) -> None:
        """Start without topics."""
        self.kafka = FakeKafka()

    async def create(self, topic: str, partitions: int = 3, limit: int = LIMIT) -> None:
        """Create a topic."""
        self.kafka.create_topic(topic, partitions, limit)

    async def limit(self, topic: str, limit: int) -> None:
        """Change the limit."""
        self.kafka.topics[topic].limit = limit

    async def make_anew(self, topic: str) -> None:
        """Forget what was in it."""
        self.kafka.create_topic(topic)

    async def read(self, topic: str) -> Sequence[Sequence[bytes]]:
        """Read all values."""
        return [[record.value for _, record in partition.log] for partition in self.kafka.topics[topic].partitions]


class RealScene:
    """Apache Kafka."""

    def __init__(self, brokers: Brokers) -> None:
        """Reach the brokers as the relay does."""
        self._brokers = brokers
        servers = tuple(brokers.bootstrap_servers.split(","))
        self.kafka = Cluster(Config(servers, topics=Topics(create=False)))

    async def create(self, topic: str, partitions: int = 3, limit: int = LIMIT) -> None:
        """Create a topic."""
        config = {"max.message.bytes": str(limit)}
        await asyncio.to_thread(self._brokers.create_topic, topic, partitions, config)

    async def limit(self, topic: str, limit: int) -> None:
        """Change the limit."""
        admin = Admin(self._brokers.bootstrap_servers)
        await asyncio.to_thread(admin.set, topic, "max.message.bytes", str(limit))

    async def make_anew(self, topic: str) -> None:
        """Delete and create it."""
        await asyncio.to_thread(Admin(self._brokers.bootstrap_servers).delete, topic)
        await self.create(topic)

    async def read(self, topic: str) -> Sequence[Sequence[bytes]]:
        """Read all values as a subscriber does."""
        records = await read_topic(self._brokers.bootstrap_servers, topic)
        partitions = range(max((record.partition for record in records), default=-1) + 1)
        return [[record.value or b"" for record in records if record.partition == p] for p in partitions]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """Give the fake, then real Kafka."""
    if request.param == "fake":
        yield FakeScene()
        return
    real = RealScene(request.getfixturevalue("kafka"))
    yield real
    await real.kafka.close()


@pytest.fixture
def topic() -> str:
    """Name a topic that does not exist yet."""
    return f"t-{uuid.uuid4()}"
