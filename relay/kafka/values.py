"""What the rest of the relay sees of Kafka: names, limits, and the outcomes of sending."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(enum.StrEnum):
    """What a refusal means for the batch that met it.

    `CURABLE`: keep the flight, wait, hand it over again. `CONTENT`: the batch itself will never be
    taken. `FORGOTTEN`: the broker knows the producer id but not this batch as its next.
    No answer in time is curable too: the flight is kept, and its sequence settles the doubt.
    """

    CURABLE = "curable"
    CONTENT = "content"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch is in Kafka, on all in-sync replicas. The offset is None when the broker no longer knew it."""

    base_offset: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch was not acknowledged: what that means, and the error in Kafka's words."""

    kind: Kind
    error: str


Outcome = Acknowledged | Refused

Hurried: TypeAlias = "Callable[[float, str], bool]"
"""Asked while a batch is not answered: whether others need its producer's place.

It is told the seconds since the batch was sent, and why there is no answer yet; nothing when that is not known.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """The producer under which the broker numbers batches. `producer_id` is -1 without idempotence.

    `cluster` is where: the cluster's id, and behind a slash the topic's, where brokers give topics one.
    """

    cluster: str
    producer_id: int
    producer_epoch: int

    @property
    def idempotent(self) -> bool:
        """Tell whether the broker can recognise a batch that is handed over again."""
        return self.producer_id >= 0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists: its partition count, and the largest batch it takes, in bytes, less a tenth."""

    name: str
    partitions: int
    max_batch: int


class KafkaUnavailable(Unavailable):
    """Kafka cannot be reached, or will not do what was asked now; asking again may help."""


class TopicMissing(KafkaUnavailable):
    """The topic does not exist, and the relay may not or could not create it."""
