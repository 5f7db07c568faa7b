"""Dead letters as CloudEvents: what is published of them where they are mirrored.

A dead letter that can be read has the attributes and data of its event. One that cannot has its body as data: as
`data_base64` in structured mode, and as the value in binary mode. Extensions tell why it is dead, and its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relay.core import syskit
from relay.core.errors import Undeliverable
from relay.core.model import Event, Mode, Processed, Record
from relay.core.routing import default_key_of

if TYPE_CHECKING:
    from relay.core.model import Delivery, Envelope, Mirror, Source

UNREADABLE = "Unreadable"
"""The type of a dead letter of which none could be read."""


class _Structured(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="specversion", tag="1.0"):
    """The envelope, in the order in which it is written; msgspec writes bytes as base64."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    partitionkey: str
    correlationid: str | None = None
    deadreason: str
    deaddetail: str
    deaddelivery: str
    datacontenttype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: bytes | msgspec.UnsetType = msgspec.UNSET


_write = msgspec.json.Encoder().encode


def mirror(delivery: Delivery, source: Source, envelope: Envelope, mirror: Mirror) -> Processed:
    """Encode the one record of a mirrored dead letter; total."""
    try:
        event = syskit.parse(delivery, source)
        key, readable = default_key_of(event), True
    except Undeliverable as fate:
        kind = fate.event_type or UNREADABLE
        event = Event(fate.event_id, source.name, kind, None, None, delivery.body, None)
        key, readable = f"{source.name}/{kind}", False
    written = _Structured(
        id=event.id,
        source=source.uri,
        type=envelope.type_prefix + event.type,
        subject=event.subject,
        time=event.time,
        partitionkey=key,
        correlationid=event.correlation_id,
        deadreason=mirror.reason,
        deaddetail=mirror.detail,
        deaddelivery=str(mirror.of),
        datacontenttype="application/json" if readable else "application/octet-stream",
        data=msgspec.Raw(event.data) if readable else msgspec.UNSET,
        data_base64=msgspec.UNSET if readable else event.data,
    )
    value, headers = _write(written), [("content-type", b"application/cloudevents+json")]
    if envelope.mode is Mode.BINARY:
        value, headers = event.data, _attributes(written)
    headers += [("traceparent", delivery.traceparent.encode())] if delivery.traceparent else []
    record = Record(mirror.topic, key.encode(), value, tuple(headers))
    # Nothing is recognised by this identity: a mirror repeats its dead letter.
    return Processed(event, (record,), (), None, event.id, bytes(16))


def _attributes(written: _Structured) -> list[tuple[str, bytes]]:
    names = [name for name in written.__struct_fields__ if name not in {"datacontenttype", "data", "data_base64"}]
    texts = {"specversion": "1.0"} | {name: getattr(written, name) for name in names}
    attributes = [(f"ce_{name}", text.encode()) for name, text in texts.items() if text is not None]
    return [("content-type", written.datacontenttype.encode()), *attributes]
