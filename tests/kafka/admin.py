"""What an administrator does to a cluster while it is in use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    PartitionMetadata,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from concurrent.futures import Future

TIMEOUT = 15.0
BRIEF = 3.0
PATIENCE = 60.0
AGAIN = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_REPLICA_ASSIGNMENT,
}
"""What is said while a broker is away that was asked, or is needed: of a topic's replicas it is one."""
ANSWER = 2.0  # seconds for one broker


class Admin:
    """Creates, changes and deletes topics, and says who may write; each call returns when the controller has it.

    Raises `confluent_kafka.KafkaException` when the cluster refuses, or does not answer. Blocking.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        """Reach a cluster; nothing is connected yet."""
        self._servers = bootstrap_servers.split(",")
        self._client = _client(bootstrap_servers)

    def create(self, topic: str, replicas: Sequence[Sequence[int]], config: Mapping[str, str] | None = None) -> None:
        """Create a topic: for each partition the nodes that hold it."""
        new = NewTopic(topic, len(replicas), replica_assignment=[list(nodes) for nodes in replicas])
        new.config = dict(config or {})
        _insist(
            lambda: self._client.create_topics([new], operation_timeout=TIMEOUT),
            KafkaError.TOPIC_ALREADY_EXISTS,
        )

    def delete(self, topic: str) -> None:
        """Delete a topic with all that is in it; return when no broker that answers has it any more.

        Each is asked by itself: one that has not heard of it yet goes on to take records.
        """
        _insist(
            lambda: self._client.delete_topics([topic], operation_timeout=TIMEOUT),
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
        for server in self._servers:
            while _has(server, topic):
                time.sleep(0.05)

    def enlarge(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions, so many in all."""
        new = NewPartitions(topic, partitions)
        _insist(
            lambda: self._client.create_partitions([new], operation_timeout=TIMEOUT),
            KafkaError.INVALID_PARTITIONS,
        )

    def set(self, topic: str, name: str, value: str | None) -> None:
        """Change one setting of a topic; None gives it the default again."""
        kind = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value or "", incremental_operation=kind)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        _insist(lambda: self._client.incremental_alter_configs([resource]))

    def forbid(self, topic: str, *operations: AclOperation) -> None:
        """Take from everybody the right to some operations on a topic; the others stay allowed."""
        rules = [_rule(topic, AclOperation.ALL, AclPermissionType.ALLOW)]
        rules += [_rule(topic, operation, AclPermissionType.DENY) for operation in operations]
        _insist(lambda: self._client.create_acls(rules))

    def allow(self, topic: str) -> None:
        """Take back all that was forbidden of a topic."""
        _insist(lambda: self._client.delete_acls([_any_rule(topic)]))

    def partitions(self, topic: str) -> int:
        """Count a topic's partitions; 0 when it does not exist."""
        found = self._client.list_topics(timeout=TIMEOUT).topics.get(topic)
        return len(found.partitions) if found else 0

    def leaders(self, topic: str) -> list[int]:
        """Give the node that leads each partition, -1 for none; nothing while who is asked is frozen or gone."""
        return [partition.leader for _, partition in sorted(self._partitions_of(topic).items())]

    def in_sync(self, topic: str) -> AbstractSet[int]:
        """Give the nodes that hold all of some partition of a topic; none while who is asked is frozen or gone."""
        return {node for partition in self._partitions_of(topic).values() for node in partition.isrs}

    def _partitions_of(self, topic: str) -> Mapping[int, PartitionMetadata]:
        try:
            return self._client.list_topics(timeout=BRIEF).topics[topic].partitions
        except KafkaException:
            return {}

    def wait_until_whole(self, patience: float = 60.0) -> None:
        """Wait until every partition has a leader and all its replicas in sync. Raises `TimeoutError`."""
        deadline = time.monotonic() + patience
        while not self._is_whole():
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster did not become whole")
            time.sleep(0.1)

    def _is_whole(self) -> bool:
        try:
            topics = self._client.list_topics(timeout=2.0).topics.values()
        except KafkaException:
            return False
        return all(
            partition.leader >= 0 and len(partition.isrs) == len(partition.replicas)
            for topic in topics
            for partition in topic.partitions.values()
        )


def _insist(ask: Callable[[], Mapping[Any, Future[Any]]], *done: int) -> None:
    """Ask, and again while who was asked is killed, frozen or deposed; an error that says it is `done` is none.

    One that went away may have done it, and nobody heard of it.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            for answer in ask().values():
                answer.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in done:
                return
            if code not in AGAIN or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _rule(topic: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    pattern = ResourcePatternType.LITERAL
    return AclBinding(ResourceType.TOPIC, topic, pattern, "User:ANONYMOUS", "*", operation, permission)


def _any_rule(topic: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL,
        None, None,  # type: ignore[arg-type]  # None is any principal and host
        AclOperation.ANY, AclPermissionType.ANY,
    )  # fmt: skip


def _client(servers: str) -> AdminClient:
    return AdminClient(
        {"bootstrap.servers": servers, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
    )


def _has(server: str, topic: str) -> bool:
    """Ask one broker, as the only one that a new client knows; False as well when it does not answer."""
    try:
        return topic in _client(server).list_topics(timeout=ANSWER).topics
    except KafkaException:
        return False
