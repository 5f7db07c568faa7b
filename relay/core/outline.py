"""The outline of Syskit Point's JSON: the members that matter, found without reading the content.

There are two ways to it that agree. The careful one is the definition. The quick one knows only the
documented shape, and what it is not sure of it leaves to the careful one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from relay.core.members import deeper_than, repeats_key

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 64
"""How deep arrays and objects may stand within one another; no documented delivery passes 2."""

MAX_ID = 1024
"""How many characters a readable id may have; the documented ones have 36."""


class Outline(NamedTuple):
    """What was found of the four members that matter, each None when it is missing or not a text.

    A text is not empty and has UTF-8, and an id is not longer than `MAX_ID`. `content` is raw.
    """

    type: str | None
    id: str | None
    time_stamp: str | None
    content: bytes | None


class _Meta(msgspec.Struct, gc=False):
    id: str = msgspec.field(name="idempotencyKey")
    time_stamp: str = msgspec.field(name="timeStamp")


class _Documented(msgspec.Struct, gc=False):
    type: str
    content: msgspec.Raw
    meta: _Meta


_MEMBERS_DOCUMENTED = 5
_documented = msgspec.json.Decoder(_Documented).decode
_mapping = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def outline(body: bytes) -> Outline:
    """Find the members that matter of the one JSON object in `body`.

    Raises ValueError or RecursionError for what is not such an object, is more than `MAX_DEPTH` levels
    deep, or has a key twice at the top level or in `meta`.
    """
    if not body.isascii():
        body.decode()  # msgspec does not check the text it skips
    if deeper_than(body, MAX_DEPTH):
        raise ValueError(f"more than {MAX_DEPTH} levels deep")
    return _quick(body) or _careful(body)


def _quick(body: bytes) -> Outline | None:
    """Give the outline of a body that has the five documented members and no other outside the content, else None.

    Each member has its colon. There is no sixth, and so none twice, when outside the content and the
    time stamp are five colons. An escape could hide a stamp's, so there is none outside the content.
    """
    try:
        top = _documented(body)
    except (ValueError, RecursionError):
        return None
    content, event_id, stamp = bytes(top.content), top.meta.id, top.meta.time_stamp
    if body.count(b":") != _MEMBERS_DOCUMENTED + content.count(b":") + stamp.count(":"):
        return None
    if b"\\" in body and body.count(b"\\") != content.count(b"\\"):
        return None
    if not top.type or not 0 < len(event_id) <= MAX_ID or not stamp:
        return None
    return Outline(top.type, event_id, stamp, content)


def _careful(body: bytes) -> Outline:
    top = _members(body, "at the top level")
    meta = bytes(top.get("meta", b""))
    inner = _members(meta, "in meta") if meta.startswith(b"{") else {}
    event_id = _text(inner.get("idempotencyKey"))
    return Outline(
        type=_text(top.get("type")),
        id=event_id if event_id is not None and len(event_id) <= MAX_ID else None,
        time_stamp=_text(inner.get("timeStamp")),
        content=bytes(top["content"]) if "content" in top else None,
    )


def _members(text: bytes, where: str) -> Mapping[str, msgspec.Raw]:
    found = _mapping(text)
    if repeats_key(text, found):
        raise ValueError(f"a key stands twice {where}")
    return found


def _text(raw: msgspec.Raw | None) -> str | None:
    """Give the text that a member holds, if it is one and not empty. Raises ValueError if no UTF-8 can hold it."""
    if raw is None or not bytes(raw).startswith(b'"'):
        return None
    return msgspec.json.decode(raw, type=str) or None
