"""The configuration as the rest of the relay sees it: frozen values, sizes in bytes, times in seconds.

Each default stands here once, and each bound beside it. The bounds hold for files; a value built in
code is not checked.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, with_config

from relay.config.network import Cidr
from relay.config.scalar import Choice, Duration, Flag, Size, Whole
from relay.config.text import FilePath, Hidden, Secret, Servers, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.config.point import PointConfig
    from relay.core.model import Envelope, Route, Source

STRICT = ConfigDict(extra="forbid")

Host = Annotated[str, Text(r"[A-Za-z0-9._:%-]{1,255}", "must be a host name or an address")]
Port = Annotated[int, Whole(0, 65535)]
File = Annotated[Path, FilePath()]
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, Cidr()], ...], Field(max_length=256)]
TOPIC_RULE = "must be a legal topic name: 1 to 249 of letters, digits, '.', '_' and '-', not '.' or '..'"


class After(enum.StrEnum):
    """When a sender is answered: once Kafka has acknowledged, or once the delivery is on disk."""

    PUBLISHED = "published"
    STORED = "stored"


class Protocol(enum.StrEnum):
    """How Kafka is spoken to, by Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Mechanism(enum.StrEnum):
    """How the relay says who it is to Kafka."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class Level(enum.StrEnum):
    """The least level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(enum.StrEnum):
    """How the log is written; `auto` is console on a terminal, else json."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Listen:
    """The ingest listener: its address, and what it grants a sender. Port 0 is any free one."""

    host: Host = "0.0.0.0"  # noqa: S104 - a webhook receiver is there to be reached
    port: Port = 8080
    max_body: Annotated[int, Size("1KiB", "64MiB")] = 1 << 20
    body_timeout: Annotated[float, Duration("10ms", "10m")] = 10.0
    header_timeout: Annotated[float, Duration("10ms", "10m")] = 10.0
    idle_timeout: Annotated[float, Duration("10ms", "1h")] = 75.0
    max_in_flight: Annotated[int, Whole(1, 100_000)] = 1000
    max_waiting: Annotated[int, Whole(1, 1_000_000)] = 10_000
    trusted_proxies: Networks = ()


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin listener. The token is what shows or changes deliveries asks for, None when nothing does."""

    host: str = "127.0.0.1"
    port: int = 9090
    token: Secret | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Security:
    """How a connection to Kafka is secured; `config` has checked that the fields fit together.

    Without `ca_file` the system's certificate authorities are trusted.
    """

    protocol: Annotated[Protocol, Choice(Protocol)] = Protocol.PLAINTEXT
    mechanism: Annotated[Mechanism, Choice(Mechanism)] | None = None
    username: Annotated[str, Text(r"(?s).+", "must not be empty")] | None = None
    password: Annotated[Secret, Hidden(1)] | None = None
    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Topics:
    """Whether missing topics are created, and how; -1 leaves a number to the broker."""

    create: Annotated[bool, Flag()] = True
    partitions: Annotated[int, Whole(1, 1000, besides=-1)] = 3
    replication_factor: Annotated[int, Whole(1, 15, besides=-1)] = -1


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Kafka:
    """The cluster, how long it is waited for, and how many producers stand open.

    `producer_memory` is how long a broker is trusted to remember a producer that has been silent.
    """

    bootstrap_servers: Annotated[tuple[str, ...], Servers()]
    security: Security = field(default_factory=Security)
    delivery_timeout: Annotated[float, Duration("1s", "1h")] = 120.0
    request_timeout: Annotated[float, Duration("100ms", "10m")] = 15.0
    idempotence: Annotated[bool, Flag()] = True
    producer_memory: Annotated[float, Duration("1m", "7d")] = 43_200.0
    max_producers: Annotated[int, Whole(1, 1000)] = 32
    idle_timeout: Annotated[float, Duration("100ms", "1h")] = 30.0
    topics: Topics = field(default_factory=Topics)


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Ack:
    """When the sender is answered, and how long it is kept waiting for Kafka at most."""

    after: Annotated[After, Choice(After)] = After.PUBLISHED
    timeout: Annotated[float, Duration("1ms", "5m")] = 2.0


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Stop:
    """How long a stop may take before what is pending is left to the next start."""

    timeout: Annotated[float, Duration("0s", "1h")] = 25.0


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how it is written."""

    level: Annotated[Level, Choice(Level)] = Level.INFO
    format: Annotated[Format, Choice(Format)] = Format.AUTO


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Dedupe:
    """Among how many accepted deliveries a duplicate is recognised."""

    ids: Annotated[int, Whole(1, 100_000_000)] = 1_000_000


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Spool:
    """The file of deliveries: where, how large at most, how long settled ones stay, and what is given up for them."""

    path: File = Path("data/spool.db")
    max_size: Annotated[int, Size("1MiB", "1TiB")] = 1 << 30
    retention: Annotated[float, Duration("0s", "3650d")] = 604_800.0
    ballast: Annotated[int, Size("0B", "1TiB")] = 16 << 20


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The topic into which dead letters are mirrored; None when they stay in the spool alone."""

    topic: Annotated[str, Text(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}", TOPIC_RULE)] | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Rejected:
    """What is kept, in memory, of the requests that were refused lately."""

    keep_bodies: Annotated[bool, Flag()] = False


@dataclass(frozen=True, slots=True)
class Config:
    """All that the relay is told: made by `config.load`, handed in by `app`.

    `points` has the API of Syskit Point by the name of the source that it belongs to.
    """

    listen: Listen
    admin: Admin
    sources: tuple[Source, ...]
    kafka: Kafka
    envelope: Envelope
    routes: tuple[Route, ...]
    ack: Ack
    stop: Stop
    log: Log
    dedupe: Dedupe
    spool: Spool
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    rejected: Rejected = field(default_factory=Rejected)
    points: Mapping[str, PointConfig] = field(default_factory=dict)
