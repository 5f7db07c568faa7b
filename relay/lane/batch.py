"""Batch: a flight together with the records that are in it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from relay.kafka import Identity, partition_of, record_size
from relay.spool import Flight

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.core.model import Record
    from relay.lane.committed import Item


class Numbered(Protocol):
    """A record, and the number of its delivery."""

    @property
    def number(self) -> int:
        """The number of its delivery."""

    @property
    def record(self) -> Record:
        """The record."""


class Fresh(NamedTuple):
    """A record whose delivery is about to be on disk, under this number."""

    number: int
    record: Record


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Batch:
    """A journalled flight and its items, in the order of the flight."""

    flight: Flight
    items: tuple[Item, ...]

    @property
    def identity(self) -> Identity:
        """The producer under which the flight was journalled."""
        return Identity(self.flight.cluster, self.flight.producer_id, self.flight.producer_epoch)

    @property
    def records(self) -> list[Record]:
        """The records to send."""
        return [item.record for item in self.items]

    @property
    def partition(self) -> int:
        """The partition it was journalled for."""
        return self.flight.partition


def fitting(items: Iterable[N], room: int) -> list[N]:
    """Choose what one batch may hold, should all keys be of one partition; what surrounds a record counts as well."""
    chosen: list[N] = []
    for item in items:
        room -= record_size(item.record)
        if room < 0:
            break
        chosen.append(item)
    return chosen


def by_partition(items: Iterable[N], partitions: int) -> dict[int, list[N]]:
    """Group records by the partition of their key, keeping their order."""
    groups: dict[int, list[N]] = {}
    for item in items:
        groups.setdefault(partition_of(item.record.key, partitions), []).append(item)
    return groups


def flights_of(
    topic: str, groups: Iterable[tuple[int, Sequence[N]]], identity: Identity, sequences: dict[int, int]
) -> list[tuple[Flight, Sequence[N]]]:
    """Describe batches that are about to be sent, to be journalled first.

    `sequences` holds each partition's next base sequence, and is moved on. The time of sending is
    now: it is what the broker's memory is judged by.
    """
    flights: list[tuple[Flight, Sequence[N]]] = []
    for partition, items in groups:
        numbered = tuple((item.number, item.record.key) for item in items)
        base = sequences[partition]
        sequences[partition] = base + len(items)
        flight = Flight(
            id=0,
            topic=topic,
            partition=partition,
            cluster=identity.cluster,
            producer_id=identity.producer_id,
            producer_epoch=identity.producer_epoch,
            base_sequence=base,
            sent_at=time.time(),
            items=numbered,
        )
        flights.append((flight, items))
    return flights
