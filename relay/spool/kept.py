"""What the spool holds of deliveries, for those who look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.errors import Reason
    from relay.core.model import Delivery, Status, Withdrawal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries are looked for; None is any. Times bound `received_at`: `since` included, `until` not.

    `holding` is what stands somewhere in the body, byte for byte.
    """

    status: Status | None = None
    type: str | None = None
    source: str | None = None
    event_id: str | None = None
    reason: Reason | None = None
    since: float | None = None
    until: float | None = None
    holding: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery as a line of a list: what it is, and what has become of it; never its body.

    `answered` is the word its sender was told, None while nothing was. Times are in seconds since the epoch.
    `replay_of` is the delivery that this one repeats, `target` the topic it was given for that. A dead letter that
    left the dead ones is `withdrawn`: then `reason` and `detail` say why it was dead, `because` why it was given up.
    `mirror_of` is the dead letter that this one mirrors, `mirrored` the delivery that mirrors this one.
    """

    number: int
    source: str
    event_id: str
    type: str | None
    received_at: float
    status: Status
    reason: Reason | None
    detail: str | None
    settled_at: float | None
    answered: str | None
    answered_at: float | None
    repeats: int
    repeated_at: float | None
    replay_of: int | None = None
    target: str | None = None
    withdrawn: Withdrawal | None = None
    because: str | None = None
    mirror_of: int | None = None
    mirrored: int | None = None

    @property
    def is_copy(self) -> bool:
        """Tell whether it repeats another delivery, on purpose."""
        return bool(self.replay_of or self.mirror_of)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one record: its place in Kafka and the flight that carried it, or why it has none."""

    topic: str
    partition: int | None
    offset: int | None
    flight: int | None
    reason: Reason | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Aloft:
    """A record in a flight: handed to Kafka, or about to be, and not settled."""

    topic: str
    partition: int
    flight: int
    sent_at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the spool holds of one delivery. `accepted_at` is None when its id is no longer remembered.

    With `body_swept` the body has left to make room, and that of `delivery` is empty. `replays` are the numbers of
    those that are kept.
    """

    listed: Listed
    delivery: Delivery
    body_swept: bool
    accepted_at: float | None
    records: tuple[Settled, ...]
    aloft: tuple[Aloft, ...]
    replays: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A delivery of which the id is remembered, whether it is still kept or has left."""

    number: int
    accepted_at: float
    fingerprint: bytes
