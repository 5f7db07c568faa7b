"""Syskit Point's JSON, read into an event.

Around `content` stand `type`, `meta.idempotencyKey` and `meta.timeStamp`. The first two and the
content are required. `content` may be any JSON value, or a string that holds one. Whatever else is
there, documented or not, is left alone.

The content is parsed once, for rules and templates; what is published is its bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from relay.core.errors import Reason, Rejected, Undeliverable
from relay.core.members import deeper_than
from relay.core.model import Event, Signs
from relay.core.outline import MAX_DEPTH, outline
from relay.core.signature import message_of
from relay.core.timestamp import in_utc

if TYPE_CHECKING:
    from relay.core.model import Delivery, Source

_UNREADABLE = (ValueError, RecursionError)
_value = msgspec.json.Decoder().decode


def parse(delivery: Delivery, source: Source) -> Event:
    """Read an event out of an authentic delivery.

    No text of the event holds a lone surrogate, so each of them has UTF-8. Without a readable id
    the event's id is `sha256:<body>`.

    Raises Undeliverable (malformed) for what is not JSON, or has no string `type`, no string
    `meta.idempotencyKey`, no `content`, or a key twice at the top level or in `meta`.
    """
    try:
        kind, event_id, stamp, raw = outline(delivery.body)
    except _UNREADABLE as error:
        raise _malformed(delivery, source, f"not readable as JSON: {error}") from error
    if kind is None:
        raise _malformed(delivery, source, "type is not a text", event_id)
    if event_id is None:
        raise _malformed(delivery, source, "meta.idempotencyKey is not a text of 1 to 1024 characters", None, kind)
    if raw is None:
        raise _malformed(delivery, source, "content is missing", event_id, kind)
    try:
        data, content = _content(raw)
    except _UNREADABLE as error:
        raise _malformed(delivery, source, f"content is not readable as JSON: {error}", event_id, kind) from error
    return Event(
        id=event_id,
        source=source.name,
        type=kind,
        subject=_subject(content),
        time=in_utc(stamp, source.time_zone),
        data=data,
        content=content,
        correlation_id=_correlation_id(content),
    )


def dedupe_id(delivery: Delivery, source: Source, event_id: str | None) -> str:
    """Give what a repeat of this delivery is recognised by.

    It is the id, which the signature covers, or `sha256:` of the signed bytes where it does not or
    where there is none.
    """
    if source.signs is Signs.CONTENT:
        try:
            return _hash_name(message_of(Signs.CONTENT, delivery.body))
        except Rejected:  # kept from when the source signed its bodies
            return _hash_name(delivery.body)
    return event_id or _hash_name(delivery.body)


def fingerprint(source: Source, event: Event, dedupe_id: str) -> bytes:
    """Give 16 bytes that two deliveries of one dedupe id share exactly when they say the same.

    The same is the same type and data. Where the type is not signed it is not compared either, or
    anybody could make conflicts of one signature without end.
    """
    if source.signs is Signs.CONTENT:
        return _fingerprint(b"", dedupe_id.encode())
    return _fingerprint(event.type.encode(), event.data)


def _fingerprint(kind: bytes, data: bytes) -> bytes:
    # The length in front tells where the type ends, whatever bytes it holds.
    return hashlib.sha256(len(kind).to_bytes(8, "big") + kind + data).digest()[:16]


def _malformed(
    delivery: Delivery,
    source: Source,
    detail: str,
    event_id: str | None = None,
    kind: str | None = None,
) -> Undeliverable:
    repeat = dedupe_id(delivery, source, event_id)
    signed = delivery.body
    if source.signs is Signs.CONTENT:
        # What is malformed may be so in what is not signed: it is one for each content, and shadows none that is not.
        repeat += "#malformed"
        signed = repeat.encode()
    return Undeliverable(
        Reason.MALFORMED,
        detail,
        event_id=event_id or _hash_name(delivery.body),
        dedupe_id=repeat,
        fingerprint=_fingerprint(b"", signed),  # an empty type is none an event can have
        event_type=kind,
    )


def _content(raw: bytes) -> tuple[bytes, object]:
    content: object = _value(raw)
    if isinstance(content, str):
        text = content.encode()
        try:
            if not deeper_than(text, MAX_DEPTH):
                return text, _value(text)
        except _UNREADABLE:
            pass  # a string that is not JSON stays a string
    return raw, content


def _subject(content: object) -> str | None:
    if not isinstance(content, dict):
        return None
    kind, name = _named(content, "type"), _named(content, "name")
    return f"{kind}/{name}" if kind or name else None


def _correlation_id(content: object) -> str | None:
    if not isinstance(content, dict):
        return None
    # The vendor's page once writes the key with a space at its end.
    return _named(content, "correlationId") or _named(content, "correlationId ") or None


def _named(content: dict[str, object], name: str) -> str:
    value = content.get(name)
    return value if isinstance(value, str) else ""


def _hash_name(signed: bytes) -> str:
    return f"sha256:{hashlib.sha256(signed).hexdigest()}"
