"""CloudEvents 1.0 in Kafka records, by the Kafka protocol binding.

Structured mode (3.3): the value is the whole envelope as JSON, and the only header of the event is
its `content-type`. Binary mode (3.2): the value is the data, and each attribute is a header `ce_`
with its value in UTF-8; `datacontenttype` is the header `content-type`.

The envelope is written by hand, so that the data stands in it byte for byte as it was signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relay.core.model import Mode, Record

if TYPE_CHECKING:
    from relay.core.model import Envelope, Event, Source

_JSON = b"application/json"
_ENVELOPE = b"application/cloudevents+json"


def encode(  # noqa: PLR0913, PLR0917 - an event, how it is laid out, and where to
    event: Event, source: Source, envelope: Envelope, topic: str, key: str, traceparent: str | None
) -> Record:
    """Lay an event into the record of one topic.

    Extensions are `partitionkey`, the record's key, and `correlationid` when the event has one. A
    `traceparent` travels as a header of its own, as Kafka's instrumentations expect it. The texts
    of the event and the key have UTF-8, which `core.syskit` and `core.routing` see to.
    """
    attributes = [
        ("specversion", "1.0"),
        ("id", event.id),
        ("source", source.uri),
        ("type", envelope.type_prefix + event.type),
    ]
    if event.subject is not None:
        attributes.append(("subject", event.subject))
    if event.time is not None:
        attributes.append(("time", event.time))
    attributes.append(("partitionkey", key))
    if event.correlation_id is not None:
        attributes.append(("correlationid", event.correlation_id))
    trace = () if traceparent is None else (("traceparent", traceparent.encode()),)
    if envelope.mode is Mode.BINARY:
        headers = [(f"ce_{name}", text.encode()) for name, text in attributes]
        return Record(topic, key.encode(), event.data, (("content-type", _JSON), *headers, *trace))
    # An object's opening, less its closing brace: names and texts are escaped, the data is not touched.
    opening = msgspec.json.encode(dict(attributes))[:-1]
    value = b'%b,"datacontenttype":"application/json","data":%b}' % (opening, event.data)
    return Record(topic, key.encode(), value, (("content-type", _ENVELOPE), *trace))
