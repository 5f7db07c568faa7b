"""A delivery that is replayed: by which topics and keys it goes, and how its records say that they are a replay's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay.core import cloudevents, syskit
from relay.core.model import Processed
from relay.core.routing import Unrouted, default_key_of, route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.model import Delivery, Envelope, Record, Replay, Route, Source

HEADER = "relay-replay"
"""The header of a replay's records: the number of the delivery that is replayed, in decimal."""


def marked(record: Record, replay: Replay) -> Record:
    """Give a record as a replay's: the same, with one header more."""
    return replace(record, headers=(*record.headers, (HEADER, str(replay.of).encode())))


def process_for(
    topic: str, delivery: Delivery, source: Source, routes: Sequence[Route], envelope: Envelope
) -> Processed:
    """Encode a delivery for one topic, whatever the rules say of it.

    The key is the one that the rules give for that topic, else the default key. Raises Undeliverable (malformed).
    """
    event = syskit.parse(delivery, source)
    dedupe_id = syskit.dedupe_id(delivery, source, event.id)
    try:
        routed = route(event, routes)
        matched, keys = routed.matched, dict(routed.targets)
    except Unrouted:
        matched, keys = (), {}
    key = keys.get(topic) or default_key_of(event)
    record = cloudevents.encode(event, source, envelope, topic, key, delivery.traceparent)
    fingerprint = syskit.fingerprint(source, event, dedupe_id)
    return Processed(event, (record,), matched if topic in keys else (), None, dedupe_id, fingerprint)
