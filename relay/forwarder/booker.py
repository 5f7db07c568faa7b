"""Booker: asks the lanes concerned to journal their next round in the commit that brings its deliveries to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.lane import Fresh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.core.model import Record
    from relay.lane import Booking, Lane


def book(lanes: Mapping[str, Lane], fresh: Sequence[tuple[int, Sequence[Record]]]) -> list[Booking]:
    """Give the bookings of the lanes that are open, by topic, for deliveries that are about to be on disk, by number.

    Until each has heard what came of it its lane does not end.
    """
    topics: dict[str, list[Fresh]] = {}
    for number, records in fresh:
        for record in records:
            if record.topic in lanes:
                topics.setdefault(record.topic, []).append(Fresh(number, record))
    booked = (lanes[topic].book(records) for topic, records in topics.items())
    return [booking for booking in booked if booking]
