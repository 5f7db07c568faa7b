"""Locks: listeners of a test broker that want TLS, a client's certificate, or a login."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.kafka.properties import added_listener

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

USER, PASSWORD = "relay", "a password, of tests"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class Locks:
    """An authority, the certificates it gave, and the ports of the listeners that want them.

    `mutual` speaks TLS and wants the client's certificate, `login` TLS and a login, `bare` a login without TLS.
    Made with the `openssl` command; needs nothing of a network.
    """

    def __init__(self, folder: Path, ports: tuple[int, int, int]) -> None:
        """Make the keys and certificates in `folder`: of the broker, of a client, and one by a stranger."""
        self._folder = folder
        self.mutual, self.login, self.bare = (f"127.0.0.1:{port}" for port in ports)
        self.authority, self.stranger = self._authority("authority"), self._authority("stranger")
        self.broker = self._certificate("broker")
        self.client = self._certificate("client")

    @property
    def client_key(self) -> Path:
        """The client's private key."""
        return self._folder / "client.key"

    def on(self, properties: Mapping[str, str]) -> dict[str, str]:
        """Give a broker's settings with the three listeners added."""
        locked = dict(properties)
        listeners = (
            ("MUTUAL", "SSL", self.mutual),
            ("LOGIN", "SASL_SSL", self.login),
            ("BARE", "SASL_PLAINTEXT", self.bare),
        )
        for name, protocol, address in listeners:
            port = int(address.rpartition(":")[2])
            locked = added_listener(locked, name, protocol, port, port)
        keystore = self._folder / "broker.pem"
        keystore.write_text((self._folder / "broker.key").read_text() + self.broker.read_text())
        locked |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        }
        for name in ("login", "bare"):
            locked[f"listener.name.{name}.plain.sasl.jaas.config"] = _PLAIN
            for mechanism in MECHANISMS[1:]:
                locked[f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"] = _SCRAM
        return locked

    def admit(self, bootstrap: str) -> None:
        """Give the user its SCRAM credentials, by a listener without a lock; the PLAIN one stands in the settings."""
        client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            wanted = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
            for altered in client.alter_user_scram_credentials([wanted]).values():
                altered.result()

    def _authority(self, name: str) -> Path:
        return self._openssl(name, "-x509", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def _certificate(self, name: str) -> Path:
        authority = ("-CA", str(self.authority), "-CAkey", str(self._folder / "authority.key"))
        return self._openssl(
            name, "-x509", *authority, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"
        )

    def _openssl(self, name: str, *options: str) -> Path:
        certificate = self._folder / f"{name}.crt"
        files = ("-keyout", str(self._folder / f"{name}.key"), "-out", str(certificate))
        command = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2", *options, *files]
        subprocess.run(command, check=True, capture_output=True)
        return certificate
