"""What a broker of a test cluster is told: its listeners, its small memory, its guarantees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_LOGIN = f'{_PLAIN} username="broker" password="broker" user_broker="broker";'


def properties_of(node: int, ports: Sequence[int], controllers: Sequence[int]) -> dict[str, str]:
    """Give the settings of a broker that is its own controller; ports are those of all nodes, in order."""
    size = len(ports)
    own = f"PLAINTEXT://127.0.0.1:{ports[node - 1]}"
    voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1))
    return {
        "node.id": str(node),
        "process.roles": "broker,controller",
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{own},CONTROLLER://127.0.0.1:{controllers[node - 1]}",
        "advertised.listeners": own,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "num.partitions": "3",
        "default.replication.factor": str(size),
        "min.insync.replicas": str(size // 2 + 1),
        "offsets.topic.replication.factor": str(size),
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": str(size),
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A lost broker is noticed in seconds, so that tests of it are short.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "4000",
        # The cleaner takes 128 MiB of the small heap unless told.
        "log.cleaner.dedupe.buffer.size": "4194304",
    }


def added_listener(
    properties: Mapping[str, str], name: str, protocol: str, port: int, advertised: int
) -> dict[str, str]:
    """Give settings with one listener more, which tells clients to come to the port `advertised`."""
    return {
        **properties,
        "listeners": f"{properties['listeners']},{name}://127.0.0.1:{port}",
        "advertised.listeners": f"{properties['advertised.listeners']},{name}://127.0.0.1:{advertised}",
        "listener.security.protocol.map": f"{properties['listener.security.protocol.map']},{name}:{protocol}",
    }


def guarded(properties: Mapping[str, str], port: int) -> dict[str, str]:
    """Give settings by which brokers ask who a client is, and what it may do.

    Brokers log in to each other, by a listener of their own at `port`, as a user who may do everything.
    All others are `User:ANONYMOUS`, who may do whatever no rule is about.
    """
    guards = added_listener(properties, "INTERNAL", "SASL_PLAINTEXT", port, port)
    protocols = guards["listener.security.protocol.map"]
    return {
        **guards,
        "listener.security.protocol.map": protocols.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:SASL_PLAINTEXT"),
        "inter.broker.listener.name": "INTERNAL",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.internal.plain.sasl.jaas.config": _LOGIN,
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": _LOGIN,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:broker",
        "allow.everyone.if.no.acl.found": "true",
    }
