"""The pipeline: a delivery to its event and records. Pure, so that it gives the same after a restart."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay.core import cloudevents, syskit
from relay.core.age import check_age
from relay.core.errors import Undeliverable
from relay.core.mirroring import mirror
from relay.core.model import Mirror, Processed
from relay.core.replaying import marked, process_for
from relay.core.routing import Index, Unrouted, route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.core.model import Copy, Delivery, Envelope, Record, Route, Source


def process(delivery: Delivery, source: Source, routes: Sequence[Route] | Index, envelope: Envelope) -> Processed:
    """Parse, route and encode one delivery.

    Records are in the order of the rules that gave them, one for each topic. An index of the rules
    gives the same as the rules themselves, sooner.

    Raises Undeliverable, and nothing else: malformed, stale, unroutable, illegal_topic.
    """
    event = syskit.parse(delivery, source)
    dedupe_id = syskit.dedupe_id(delivery, source, event.id)
    fingerprint = syskit.fingerprint(source, event, dedupe_id)
    if source.max_age is not None:
        check_age(delivery, source.max_age, event, dedupe_id, fingerprint)
    try:
        routed = route(event, routes.candidates(event) if isinstance(routes, Index) else routes)
    except Unrouted as error:
        raise Undeliverable(
            error.reason,
            error.detail,
            event_id=event.id,
            dedupe_id=dedupe_id,
            fingerprint=fingerprint,
            event_type=event.type,
        ) from error
    trace = delivery.traceparent
    records = [cloudevents.encode(event, source, envelope, topic, key, trace) for topic, key in routed.targets]
    return Processed(event, tuple(records), routed.matched, routed.dropped_by, dedupe_id, fingerprint)


def encode_for(delivery: Delivery, source: Source, envelope: Envelope, topic: str, key: bytes) -> Record:
    """Build one record anew with a topic and a key as journalled, whatever the rules say by now.

    For a topic and key that `process` gave with the same source and envelope, the record is the
    same, byte for byte. Raises Undeliverable (malformed) if the delivery cannot be read.
    """
    event = syskit.parse(delivery, source)
    return cloudevents.encode(event, source, envelope, topic, key.decode(errors="replace"), delivery.traceparent)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is in force: the sources by name, the rules, and the envelope."""

    sources: Mapping[str, Source]
    routes: Sequence[Route]
    envelope: Envelope
    _index: Index = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the rules, once for all deliveries."""
        object.__setattr__(self, "_index", Index(self.routes))

    def process(self, delivery: Delivery) -> Processed:
        """Parse, route and encode one delivery; see `process`. Raises KeyError for a source that is not configured."""
        return process(delivery, self.sources[delivery.source], self._index, self.envelope)

    def copy(self, delivery: Delivery, copy: Copy | None) -> Processed:
        """Do the same as `process`, for what may be a copy.

        The records of a replay say so, and go to the topic given, if any; a mirror has one, about its dead letter.
        A replay is never stale: a person asked for it, who may know that what is old is good.
        """
        if copy is None:
            return self.process(delivery)
        source = self.sources[delivery.source]
        if isinstance(copy, Mirror):
            return mirror(delivery, source, self.envelope, copy)
        if copy.topic is None:
            processed = process(delivery, dataclasses.replace(source, max_age=None), self._index, self.envelope)
        else:
            processed = process_for(copy.topic, delivery, source, self.routes, self.envelope)
        return replace(processed, records=tuple(marked(record, copy) for record in processed.records))

    def encode_for(self, delivery: Delivery, topic: str, key: bytes, copy: Copy | None = None) -> Record:
        """Build one record anew, as journalled; see `encode_for`. Raises KeyError like `process`."""
        if isinstance(copy, Mirror):
            (record,) = self.copy(delivery, copy).records
            return replace(record, topic=topic, key=key)
        record = encode_for(delivery, self.sources[delivery.source], self.envelope, topic, key)
        return marked(record, copy) if copy else record
