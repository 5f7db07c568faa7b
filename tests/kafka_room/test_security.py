"""TLS and logins against a real broker: what is let in publishes, what is not waits and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.cluster import Cluster, free_ports
from tests.kafka.locks import MECHANISMS, PASSWORD, USER, Locks
from tests.records import ids
from tests.running import Running, event, settings, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOGIN = {"username": USER, "password": "${PASSWORD}"}


@pytest.fixture(scope="module", name="locks")
def fixture_locks(tmp_path_factory: pytest.TempPathFactory) -> Locks:
    """Give certificates, and the ports of the listeners that want them."""
    first, second, third = free_ports(3)
    return Locks(tmp_path_factory.mktemp("locks"), (first, second, third))


@pytest.fixture(scope="module", name="locked")
def fixture_locked(kafka_installed: None, locks: Locks) -> Iterator[Cluster]:
    """Give a broker whose listeners have these locks, and one without, for who reads."""
    with Cluster(brief=True, locks=locks) as cluster:
        locks.admit(cluster.bootstrap_servers)
        yield cluster


def secured(folder: Path, address: str, topic: str, **security: str) -> Running:
    """Give a relay that comes to this listener in this way."""
    kafka = {"bootstrap_servers": [address], "security": security, "request_timeout": "3s"}
    return Running(folder, settings(address, folder, topic, kafka=kafka), {"PASSWORD": PASSWORD})


def mutual(locks: Locks) -> tuple[str, dict[str, str]]:
    """Show a certificate of the broker's own authority."""
    files = {"cert_file": str(locks.client), "key_file": str(locks.client_key)}
    return locks.mutual, {"protocol": "SSL", "ca_file": str(locks.authority), **files}


def login(mechanism: str) -> Callable[[Locks], tuple[str, dict[str, str]]]:
    """Log in behind TLS."""
    return lambda locks: (
        locks.login,
        {"protocol": "SASL_SSL", "mechanism": mechanism, "ca_file": str(locks.authority), **LOGIN},
    )


def bare(locks: Locks) -> tuple[str, dict[str, str]]:
    """Log in without TLS."""
    return locks.bare, {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", **LOGIN}


@pytest.mark.parametrize("way", [mutual, bare, *(login(each) for each in MECHANISMS)])
def test_who_has_the_key_publishes(
    locked: Cluster, locks: Locks, tmp_path: Path, way: Callable[[Locks], tuple[str, dict[str, str]]]
) -> None:
    """A topic is created, records are published, and after kill -9 the flights are handed over, behind each lock."""
    address, security = way(locks)
    topic = f"locked.{tmp_path.name}"
    with secured(tmp_path, address, topic, **security) as relay:
        assert relay.post(event(event_id="1")).status == 202
        relay.settle()
        relay.kill9()
        relay.start()
        assert relay.post(event(event_id="2")).fields["status"] in {"published", "stored"}
        relay.settle()
        assert relay.stop() == 0
        assert PASSWORD not in relay.text
    assert ids(locked, topic) == ["1", "2"]


def no_certificate(locks: Locks) -> tuple[str, dict[str, str]]:
    """Show no certificate where one is wanted."""
    return locks.mutual, {"protocol": "SSL", "ca_file": str(locks.authority)}


def stranger(locks: Locks) -> tuple[str, dict[str, str]]:
    """Trust another authority than the broker's."""
    return locks.login, {"protocol": "SASL_SSL", "mechanism": "PLAIN", "ca_file": str(locks.stranger), **LOGIN}


def wrong_password(locks: Locks) -> tuple[str, dict[str, str]]:
    """Log in with what is not the password."""
    wrong = {"username": USER, "password": "${PASSWORD}, not"}
    return locks.login, {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-256", "ca_file": str(locks.authority), **wrong}


def unlocked(locks: Locks) -> tuple[str, dict[str, str]]:
    """Speak without TLS to who wants it."""
    return locks.login, {"protocol": "PLAINTEXT"}


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (no_certificate, "see kafka.security.protocol, cert_file and key_file"),
        (
            stranger,
            "its certificate is not trusted (unable to get local issuer certificate); see kafka.security.ca_file",
        ),
        (wrong_password, "it refuses the login; see kafka.security.mechanism, username and password"),
        (unlocked, "see kafka.security.protocol"),
    ],
)
def test_who_has_not_keeps_everything_and_says_why(
    locked: Cluster, locks: Locks, tmp_path: Path, way: Callable[[Locks], tuple[str, dict[str, str]]], why: str
) -> None:
    """Deliveries are stored; the lane's row says what to look at; the right settings publish them, none lost."""
    address, security = way(locks)
    topic = f"shut.{tmp_path.name}"
    with secured(tmp_path, address, topic, **security) as relay:
        assert relay.post(event(event_id="1")).fields["status"] == "stored"
        until(lambda: relay.told("lane.failed"))
        assert why in relay.get("/readyz?verbose").body.decode()
        relay.kill9()
        assert PASSWORD not in relay.text
    address, security = mutual(locks)
    with secured(tmp_path, address, topic, **security) as relay:
        relay.settle()
        assert relay.stop() == 0
    assert ids(locked, topic) == ["1"]
