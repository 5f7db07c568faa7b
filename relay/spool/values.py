"""What goes into the spool and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from relay.core.errors import Reason
from relay.core.model import Copy, Delivery, Placed, Status

ORDINARY = 4096  # bytes that a delivery takes, its rows and what its settlement will take included; few take more


class Entry(msgspec.Struct, frozen=True):
    """A delivery to be appended, with the fate it starts with.

    `status` is `PENDING`, `DEAD` or `DROPPED`; `reason` (closed list) and `detail` (a sentence)
    explain a dead one, `detail` names the rule of a dropped one. `dedupe_id` and `fingerprint` are
    those of `core.model.Processed`. `topics` are those of its records: room to settle them is kept.

    A `copy` repeats on purpose: it is exempt from the search for duplicates. The dead letter that a replay
    repeats is dropped, as replayed, in the same commit; one of a published delivery is taken once, or `again`. One
    that was planned for a dead letter (`of_dead`) is not taken when that is none any more. A mirror is taken once.
    """

    delivery: Delivery
    event_id: str
    type: str | None
    dedupe_id: str
    fingerprint: bytes
    status: Status
    reason: Reason | None = None
    detail: str | None = None
    topics: tuple[str, ...] = ()
    copy: Copy | None = None
    again: bool = False
    of_dead: bool = False


class Appended(msgspec.Struct, frozen=True):
    """The answer to an append: the number of the delivery, and what it repeats, if anything.

    `duplicate` is True when nothing was written because `number` already holds the same event.
    Otherwise the delivery stands on disk under `number` with `status`, which is `DEAD` for reason
    `id_conflict` although the entry said otherwise when another event holds its id. A replay that
    `withdrew` its dead letter made that a dropped one.
    """

    number: int
    status: Status
    reason: Reason | None
    detail: str | None
    duplicate: bool = False
    withdrew: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A delivery as the spool holds it. `settled` names the topics whose records are settled already."""

    number: int
    delivery: Delivery
    settled: tuple[str, ...]
    copy: Copy | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """What the spool knows of one delivery's fate: its status, and where its records are."""

    number: int
    event_id: str
    status: Status
    reason: Reason | None
    records: tuple[Placed, ...]


class Flight(msgspec.Struct, frozen=True):
    """A batch that was journalled before it was sent, and is not settled.

    `id` is the spool's (0 until journalled). `items` holds (delivery number, record key) in the
    order of the batch. `sent_at` is in seconds since the epoch.
    """

    id: int
    topic: str
    partition: int
    cluster: str
    producer_id: int
    producer_epoch: int
    base_sequence: int
    sent_at: float
    items: tuple[tuple[int, bytes], ...]

    def numbered(self, id_: int) -> Flight:
        """Give the same flight as the spool numbers it."""
        return msgspec.structs.replace(self, id=id_)


class Settlement(msgspec.Struct, frozen=True):
    """What became of one record: its place in Kafka, or the reason why it will never have one.

    `topics` names all topics of its delivery, so that the spool can tell when the delivery is done. `flight`
    carried it. `answered` is what the delivery's sender was told so far, and when (seconds since the epoch).
    """

    number: int
    topics: tuple[str, ...]
    topic: str
    partition: int | None = None
    offset: int | None = None
    reason: Reason | None = None
    detail: str | None = None
    flight: int | None = None
    answered: str | None = None
    answered_at: float | None = None


class Done(msgspec.Struct, frozen=True):
    """A delivery that came to its end in a commit, and where its records are, by topic."""

    number: int
    status: Status
    reason: Reason | None
    records: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """How full the spool is, in bytes: in use or kept for settling what is pending; the limits; the dead letters.

    `dead_letters` is how many there are.
    """

    used: int
    max_size: int
    reserve: int
    dead: int
    dead_quota: int
    dead_letters: int = 0

    @property
    def short(self) -> bool:
        """Tell whether settled deliveries have to leave, young or not, so that there is room for new ones."""
        return self.used >= self.max_size - 2 * self.reserve

    @property
    def full(self) -> bool:
        """Tell whether a new delivery of ordinary size would be refused (flights and settlements never are)."""
        return self.used + ORDINARY > self.max_size - self.reserve


class Verdict(msgspec.Struct, frozen=True):
    """What today's rules say of a pending delivery that has no record left to publish."""

    number: int
    status: Status
    reason: Reason | None = None
    detail: str | None = None
    answered: str | None = None
    answered_at: float | None = None


class Discard(msgspec.Struct, frozen=True):
    """A dead letter that a person gives up, and why, in that person's words; or a replay that `waits`.

    Such a replay must not be in a flight, and no relay may be at work on it.
    """

    number: int
    because: str
    waits: bool = False


class Losses(NamedTuple):
    """What damaged files cost since the start: deliveries lost, and those sent anew although Kafka may have them."""

    lost: int
    doubtful: int


class Dead(NamedTuple):
    """A dead letter that is not mirrored."""

    number: int
    delivery: Delivery
    reason: str
    detail: str


class Told(NamedTuple):
    """What the sender of a delivery was told, and when (seconds since the epoch)."""

    answered: str
    answered_at: float
    number: int


@dataclass(frozen=True, slots=True)
class Journal:
    """What a lane, or the forwarder, writes in one commit: all of it, or none.

    Settlements are written and the flights named by `landed` deleted, and `flights` are recorded as
    about to be sent. `answers` are what senders of deliveries were told, which may have been noted before.
    `discards` make dead letters dropped ones.
    """

    settlements: tuple[Settlement, ...] = ()
    landed: tuple[int, ...] = ()
    flights: tuple[Flight, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    answers: tuple[Told, ...] = ()
    discards: tuple[Discard, ...] = ()


@dataclass(frozen=True, slots=True)
class Journalled:
    """The answer to a journal: the flights with their ids, and the deliveries that came to their end.

    `discarded` are the dead letters that were given up; what was none is left out.
    """

    flights: tuple[Flight, ...]
    done: tuple[Done, ...]
    discarded: tuple[int, ...] = ()
