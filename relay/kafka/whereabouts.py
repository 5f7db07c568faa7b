"""Whereabouts: which cluster answers, and which topic it has under a name, as brokers number batches by both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from aiokafka.errors import IncompatibleBrokerVersion, NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from relay.kafka.metadata import MetadataRequest

if TYPE_CHECKING:
    from io import BytesIO

    from aiokafka.client import AIOKafkaClient

NOBODY = UUID(int=0)
POLL = 0.1  # seconds


async def whereabouts(client: AIOKafkaClient, topic: str) -> str:
    """Give `cluster/topic id`: a topic that is deleted and made anew is another, and remembers no batch.

    Only the cluster's id, where brokers give topics none (before Kafka 3.0). Waits while a broker does not know the
    topic yet. Raises KafkaError.
    """
    while True:
        node = client.get_random_node()
        try:
            answer = await client.send(node, _MetadataRequest(topic))
        except (NotImplementedError, IncompatibleBrokerVersion):
            return str(getattr(await client.send(node, MetadataRequest([])), "cluster_id", None) or "")
        (found,) = answer.to_object()["topics"]
        error = for_code(found["error_code"])
        if found["topic_id"] != NOBODY:
            return f"{answer.cluster_id or ''}/{found['topic_id']}"
        if error is NoError:
            return str(answer.cluster_id or "")
        if error is not UnknownTopicOrPartitionError:
            raise error(topic)
        await asyncio.sleep(POLL)


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse12(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest12(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequest12]):  # type: ignore[misc]  # aiokafka has no types
    """Metadata of one topic with its id, by KIP-516; aiokafka 0.14 asks by version 5, which has none."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequest12]) -> _MetadataRequest12:
        return request_struct_class([(NOBODY, self._topic, {})], False, False, {})  # noqa: FBT003 - by the schema
