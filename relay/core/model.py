"""The values that travel through the relay, in the words the whole project uses.

All are frozen and slotted. Those that are made for every delivery are msgspec's structs, which cost a
tenth of a frozen dataclass to make, and `gc=False`: none of them can be part of a cycle.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from relay.core.gate import Gate

if TYPE_CHECKING:
    from datetime import tzinfo


class Signs(enum.StrEnum):
    """Which bytes of a request the sender's signature covers."""

    BODY = "body"
    CONTENT = "content"


class Mode(enum.StrEnum):
    """How a CloudEvents envelope is laid into a Kafka record (Kafka protocol binding, 3.2 and 3.3)."""

    STRUCTURED = "structured"
    BINARY = "binary"


class Status(enum.StrEnum):
    """What has become of a delivery.

    `PENDING` is on disk and on its way, the other three are final. A receipt says `stored` for
    `PENDING`, and `duplicate` for a repeat; neither is ever a status of a stored delivery.
    """

    PENDING = "pending"
    PUBLISHED = "published"
    DEAD = "dead"
    DROPPED = "dropped"


class Withdrawal(enum.StrEnum):
    """How a dead letter left the dead ones: published anew as an entry of its own, or given up by a person."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Key:
    """A signature key: its secret bytes, and the id (a fingerprint) by which logs may name it."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """One sender: where it posts, how its deliveries are authenticated, and its CloudEvents source.

    `name` is the word for it in rules, logs and metrics; `uri` is what subscribers read.
    `time_zone` is assumed for timestamps without an offset. `max_age`, in seconds, is how old a delivery's own time
    stamp may be when it comes in. `gate` is what is asked before a body is read.
    """

    name: str
    path: str
    uri: str
    keys: tuple[Key, ...]
    signs: Signs
    time_zone: tzinfo
    max_age: float | None = None
    gate: Gate = field(default_factory=Gate)


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One authenticated HTTP request, exactly as it was signed.

    Made only by `core.signature.authenticate`, and read back only by the spool, so an unverified
    delivery cannot be written down. `received_at` is in seconds since the epoch.
    """

    source: str
    body: bytes
    signature: str
    key_id: str
    received_at: float
    traceparent: str | None = None

    def __repr__(self) -> str:
        """Show neither body nor signature."""
        kept = f"source={self.source!r}, key_id={self.key_id!r}"
        return f"Delivery({kept}, received_at={self.received_at!r}, traceparent={self.traceparent!r})"


class Event(msgspec.Struct, frozen=True, gc=False):
    """What happened, in CloudEvents words.

    `source` is the source's name and `type` Syskit Point's own; `core.cloudevents` puts prefix and
    URI on. `time` is RFC 3339 in UTC, or None when the sender's was missing or unreadable. `data`
    is the content byte for byte as signed; `content` is the same, parsed, for rules and templates.
    """

    id: str
    source: str
    type: str
    subject: str | None
    time: str | None
    data: bytes
    content: object
    correlation_id: str | None = None


class Predicate(Protocol):
    """One condition of a rule on the value found at a path."""

    def __call__(self, value: object) -> bool:
        """Tell whether the value satisfies the condition; total, never raises."""

    @property
    def written(self) -> object:
        """The condition as the configuration writes it: plain data that compiles to an equal predicate."""


class Template(Protocol):
    """A text with placeholders, filled from an event."""

    @property
    def source(self) -> str:
        """The text as the configuration has it."""

    @property
    def literal(self) -> str | None:
        """The whole text when it has no placeholder, else None."""

    def fill(self, event: Event) -> str | None:
        """Give the text for an event, or None when it has nothing to fill it with; total."""


@dataclass(frozen=True, slots=True)
class Route:
    """A named rule: what it matches, and the topics and key it gives.

    `match` holds (path, predicate) pairs, all of which must hold. `go_on` is the configuration's
    `continue`. `drop` ends the search and gives no topic.
    """

    name: str
    match: tuple[tuple[str, Predicate], ...]
    topics: tuple[Template, ...] = ()
    key: Template | None = None
    go_on: bool = False
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """How events are laid into records: the mode, and the prefix of every type."""

    mode: Mode = Mode.STRUCTURED
    type_prefix: str = "com.syskit.point."


class Record(msgspec.Struct, frozen=True, gc=False):
    """What Kafka stores for one event in one topic. (delivery, topic) is its identity."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Processed(msgspec.Struct, frozen=True, gc=False):
    """A delivery after `core.pipeline.process`: its event, and a record for each topic.

    `routes` names the rules that matched, in order. `dropped_by` names the rule that dropped the
    event when no record is left. `dedupe_id` is what a repeat is recognised by, and `fingerprint`
    (16 bytes) tells a repeat from a conflict: it covers type and content, not the time stamp.
    """

    event: Event
    records: tuple[Record, ...]
    routes: tuple[str, ...]
    dropped_by: str | None
    dedupe_id: str
    fingerprint: bytes


class Replay(msgspec.Struct, frozen=True, gc=False):
    """What makes an entry of the spool a replay: the delivery `of` which it is one, and the topic given, if any.

    Without a topic the rules say where it goes.
    """

    of: int
    topic: str | None = None


class Mirror(msgspec.Struct, frozen=True, gc=False):
    """What makes an entry of the spool the mirror of a dead letter: which, into which topic, and why that is dead."""

    of: int
    topic: str
    reason: str
    detail: str


Copy = Replay | Mirror
"""What makes an entry a copy of another delivery."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where an acknowledged record stands in Kafka. `offset` is None when the broker no longer knew it."""

    topic: str
    partition: int
    offset: int | None


class Receipt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What became of a delivery, as its sender is told: as JSON, without what is None.

    `delivery` is the spool's number, never reused. `status` is `published`, `stored`, `duplicate`,
    `dead` or `dropped`; `first` is the first one's status when this is a duplicate. `records` holds
    those acknowledged so far, by topic.
    """

    delivery: int
    id: str
    status: str
    records: tuple[Placed, ...]
    reason: str | None = None
    first: str | None = None
