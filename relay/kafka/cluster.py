"""Cluster: what the relay asks Kafka about topics, and where producers come from."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from relay.kafka.attempt import unreachable
from relay.kafka.history import History
from relay.kafka.metadata import MetadataRequest
from relay.kafka.producer import Producer
from relay.kafka.refusals import refused
from relay.kafka.security import connection
from relay.kafka.values import KafkaUnavailable, Topic, TopicMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.config import Kafka
    from relay.core.model import Record
    from relay.kafka.values import Identity

log = structlog.get_logger()

MAX_BATCH_UNKNOWN = 900_000  # bytes, when max.message.bytes may not be asked
CREATION_WAIT = 10.0  # seconds until a topic that was created can be seen
CREATION_POLL = 0.1


class Cluster:
    """Kafka as the lanes see it: topics, and producers for them. Every question is bounded in time.

    One admin connection serves all questions; one on which a question failed gets no further ones, which also
    cures a client whose broker addresses have all changed (aiokafka#456, #876), and is closed after its last.
    """

    def __init__(self, config: Kafka) -> None:
        """Prepare; nothing is connected before the first question. Raises OSError for unusable certificates."""
        self._config = config
        self._connection = connection(config)
        self._admin: AIOKafkaAdminClient | None = None
        self._connecting = asyncio.Lock()
        self._questions: Counter[AIOKafkaAdminClient] = Counter()

    async def topic(self, name: str) -> Topic:
        """Find a topic, creating it when the configuration says so.

        Raises `TopicMissing` when it is not there, `KafkaUnavailable` for everything else.
        """
        admin = None
        try:
            async with asyncio.timeout(self._config.request_timeout + CREATION_WAIT):
                admin = await self._connected()
                self._questions[admin] += 1
                return await self._find(admin, name) or await self._create(admin, name)
        except (KafkaError, OSError, TimeoutError) as error:
            if admin is self._admin:
                self._admin = None
            raise KafkaUnavailable(await unreachable(error, self._connection)) from error
        finally:
            if admin is not None:
                await self._leave(admin)

    async def open_producer(self, topic: Topic, identity: Identity | None = None) -> Producer:
        """Open a producer for a topic, under `identity` or a fresh one. Raises `KafkaUnavailable`."""
        producer = Producer(
            topic,
            self._connection,
            idempotence=self._config.idempotence,
            delivery_timeout=self._config.delivery_timeout,
        )
        await producer.open(identity, self._config.request_timeout)
        return producer

    async def find(self, topic: str, partition: int, records: Sequence[Record], since: float) -> int | None:
        """Read a partition back for a batch; see `History.find`. Raises `KafkaUnavailable`, also where it may not."""
        try:
            async with asyncio.timeout(self._config.delivery_timeout), History(self._config) as history:
                return await history.find((topic, partition), records, since)
        except TimeoutError as error:
            raise KafkaUnavailable(f"topic {topic} could not be read back in time") from error

    async def close(self) -> None:
        """Hang up."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await _close(admin)

    async def _find(self, admin: AIOKafkaAdminClient, name: str) -> Topic | None:
        answer = await admin._send_request(MetadataRequest([name]))
        (found,) = answer.to_object()["topics"]
        error = errors.for_code(found["error_code"])
        if error in (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError):
            return None
        if error is not errors.NoError and error is not errors.LeaderNotAvailableError:
            raise error
        if not found["partitions"]:
            raise errors.LeaderNotAvailableError
        return Topic(name, len(found["partitions"]), await self._max_batch(admin, name))

    async def _create(self, admin: AIOKafkaAdminClient, name: str) -> Topic:
        wanted = self._config.topics
        if not wanted.create:
            msg = f"topic {name} does not exist; create it, or set kafka.topics.create"
            raise TopicMissing(msg)
        # aiokafka asks for an assignment exactly when one of the two numbers is left to the broker.
        assignments: dict[int, list[int]] | None = {} if -1 in (wanted.partitions, wanted.replication_factor) else None
        topic = NewTopic(name, wanted.partitions, wanted.replication_factor, assignments)
        try:
            answer = await admin.create_topics([topic])
        except AttributeError as fault:  # all that aiokafka has to say of a cluster without a controller
            msg = f"topic {name} does not exist, and no broker is the controller that could create it"
            raise TopicMissing(msg) from fault
        code, text = answer.topic_errors[0][1], (answer.topic_errors[0][2:] or ("",))[0]
        error = errors.for_code(code)
        if error is errors.NoError:
            log.info("topic.created", topic=name, partitions=wanted.partitions)
        elif error is not errors.TopicAlreadyExistsError:
            msg = f"topic {name} does not exist and could not be created: {text or refused(error()).error}"
            raise TopicMissing(msg)
        while not (found := await self._find(admin, name)):  # noqa: ASYNC110 - only asking tells when metadata has it
            await asyncio.sleep(CREATION_POLL)
        return found

    async def _max_batch(self, admin: AIOKafkaAdminClient, name: str) -> int:
        """Ask for max.message.bytes, less a tenth; not every principal may, nor every broker answer.

        A connection that breaks is no answer: on a guess made then, records would be dead that the topic takes.
        """
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": None})
        with suppress(errors.BrokerResponseError, errors.IncompatibleBrokerVersion, IndexError, ValueError, TypeError):
            (answer,) = await admin.describe_configs([resource])
            for setting in answer.resources[0][4]:
                return int(setting[1]) * 9 // 10
        return MAX_BATCH_UNKNOWN

    async def _connected(self) -> AIOKafkaAdminClient:
        """Give the connection for questions; one is made at a time, and shared."""
        async with self._connecting:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**self._connection)
                try:
                    await admin.start()
                except BaseException:
                    await _close(admin)
                    raise
                self._admin = admin
            return self._admin

    async def _leave(self, admin: AIOKafkaAdminClient) -> None:
        """End a question; the last one closes a connection that failed, since others may have been answered on it."""
        self._questions[admin] -= 1
        if not self._questions[admin]:
            del self._questions[admin]
            if admin is not self._admin:
                await _close(admin)


async def _close(admin: AIOKafkaAdminClient) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(admin.close(), 1)
