"""CloudEvents 1.0 in Kafka records, by the Kafka protocol binding.

Structured mode (3.3): the value is the whole envelope as JSON, and the only header of the event is
its `content-type`. Binary mode (3.2): the value is the data, and each attribute is a header `ce_`
with its value in UTF-8; `datacontenttype` is the header `content-type`.

The data stands in the envelope byte for byte as it was signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from relay.core.model import Mode, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.model import Envelope, Event, Source

_JSON = "application/json"
_STRUCTURED = (("content-type", b"application/cloudevents+json"),)


class _Structured(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="specversion", tag="1.0", gc=False):
    """The envelope of structured mode, in the order in which it is written; an attribute that is None is not."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    partitionkey: str
    correlationid: str | None = None
    datacontenttype: str
    data: msgspec.Raw


class _Seen(msgspec.Struct, gc=False):
    """What tells an event in structured mode from others."""

    id: str
    source: str
    data: msgspec.Raw = msgspec.Raw(b"")
    deaddelivery: str | None = None


class Seen(NamedTuple):
    """Which event a record holds: the source as subscribers read it, the id, and the data's bytes.

    `dead_delivery` is the number of the dead letter that it mirrors, if it is a mirror.
    """

    source: str
    id: str
    data: bytes
    dead_delivery: str | None = None


_write = msgspec.json.Encoder().encode
_see = msgspec.json.Decoder(_Seen).decode


def encode(  # noqa: PLR0913, PLR0917 - an event, how it is laid out, and where to
    event: Event, source: Source, envelope: Envelope, topic: str, key: str, traceparent: str | None
) -> Record:
    """Lay an event into the record of one topic.

    Extensions are `partitionkey`, the record's key, and `correlationid` when the event has one. A
    `traceparent` travels as a header of its own, as Kafka's instrumentations expect it. The texts
    of the event and the key have UTF-8, which `core.syskit` and `core.routing` see to.
    """
    trace = () if traceparent is None else (("traceparent", traceparent.encode()),)
    kind = envelope.type_prefix + event.type
    if envelope.mode is Mode.BINARY:
        headers = (("content-type", _JSON.encode()), *_attributes(event, source.uri, kind, key), *trace)
        return Record(topic, key.encode(), event.data, headers)
    value = _write(
        _Structured(
            id=event.id,
            source=source.uri,
            type=kind,
            subject=event.subject,
            time=event.time,
            partitionkey=key,
            correlationid=event.correlation_id,
            datacontenttype=_JSON,
            data=msgspec.Raw(event.data),
        )
    )
    return Record(topic, key.encode(), value, _STRUCTURED + trace)


def _attributes(event: Event, uri: str, kind: str, key: str) -> list[tuple[str, bytes]]:
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": uri,
        "type": kind,
        "subject": event.subject,
        "time": event.time,
        "partitionkey": key,
        "correlationid": event.correlation_id,
    }
    return [(f"ce_{name}", text.encode()) for name, text in attributes.items() if text is not None]


def see(value: bytes, headers: Sequence[tuple[str, bytes]]) -> Seen | None:
    """Tell which event a record holds, in either mode and of whichever producer; None when it is no CloudEvent."""
    attributes = dict(headers)
    try:
        if "ce_id" in attributes:
            dead = attributes.get("ce_deaddelivery")
            id_, source = attributes["ce_id"].decode(), attributes["ce_source"].decode()
            return Seen(source, id_, value, None if dead is None else dead.decode())
        seen = _see(value)
    except (KeyError, ValueError, RecursionError):
        return None
    return Seen(seen.source, seen.id, bytes(seen.data), seen.deaddelivery)
