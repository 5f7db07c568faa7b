"""How a connection to Kafka is made: addresses, TLS and SASL, in aiokafka's words."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from relay.config import Kafka


class Connection(TypedDict):
    """The keyword arguments that every client of aiokafka takes."""

    bootstrap_servers: list[str]
    client_id: str
    request_timeout_ms: int
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None


def connection(config: Kafka) -> Connection:
    """Give the arguments. Reads certificate files; raises OSError or ssl.SSLError when they cannot be used."""
    security = config.security
    tls = None
    if security.protocol.endswith("SSL"):
        tls = ssl.create_default_context(cafile=security.ca_file)
        if security.cert_file:
            tls.load_cert_chain(security.cert_file, security.key_file)
    return Connection(
        bootstrap_servers=list(config.bootstrap_servers),
        client_id="relay",
        request_timeout_ms=int(config.request_timeout * 1000),
        security_protocol=security.protocol,
        ssl_context=tls,
        sasl_mechanism=security.mechanism or "PLAIN",
        sasl_plain_username=security.username,
        sasl_plain_password=security.password.reveal() if security.password else None,
    )
