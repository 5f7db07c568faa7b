"""The members of a JSON object, found without reading their values.

A signature over the content is checked before anything is parsed; parsers recurse; and none of them
tells of a key that stands twice. This is what has to be known beside them.

Every function here takes any bytes, needs time linear in their length, and does not recurse. For
valid JSON the answer is what the grammar says. For other bytes there is some answer or a ValueError;
whoever needs to know that it was JSON asks a parser as well.

Strings are what makes JSON hard to skip, and escapes are what makes strings hard. So each escape
that can hide a quote is overwritten first, in a copy of the same length: positions stay, and from
there on a string is whatever stands between two quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMBER = re.compile(rb'[ \t\n\r]*("[^"]*")[ \t\n\r]*:[ \t\n\r]*("[^"]*"|[^ \t\n\r,:"\[\]{}]+|[\[{])')
_OPEN = re.compile(rb"[ \t\n\r]*\{")
_NEXT = re.compile(rb"[ \t\n\r]*([,}])")
_SPACE = re.compile(rb"[ \t\n\r]*")
# A lone quote is a token of its own, so that a string without an end is met once and not searched again.
_TOKEN = re.compile(rb'"[^"]*"|["\[\]{}]')


class Member(NamedTuple):
    """One member of an object: its key, unescaped, and where its value begins and ends."""

    key: str
    start: int
    end: int


def members(text: bytes) -> list[Member]:
    """List the members of the one JSON object in `text`, in order, a repeated key as often as it stands there.

    Raises ValueError when `text` is not one object, as far as can be told without reading the values.
    """
    plain = _without_escapes(text)
    found: list[Member] = []
    opening = _OPEN.match(plain)
    if opening is None:
        raise ValueError("not an object")
    at = opening.end()
    following = _NEXT.match(plain, at)
    if following is None or following[1] != b"}":
        while True:
            member = _MEMBER.match(plain, at)
            if member is None:
                raise ValueError(f"no member at byte {at}")
            start, at = member.span(2)
            if plain[start] in b"[{":
                at = _end_of_nest(plain, start)
            found.append(Member(msgspec.json.decode(text[member.start(1) : member.end(1)], type=str), start, at))
            following = _NEXT.match(plain, at)
            if following is None:
                raise ValueError(f"no end of a member at byte {at}")
            if following[1] == b"}":
                break
            at = following.end()
    if _SPACE.fullmatch(plain, following.end()) is None:
        raise ValueError(f"more than one value, at byte {following.end()}")
    return found


def deeper_than(text: bytes, limit: int) -> bool:
    """Tell whether arrays and objects stand within one another more than `limit` deep.

    Asked before any parser that recurses, so that the answer does not depend on the stack it stands on.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for token in _TOKEN.finditer(_without_escapes(text)):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                if depth > limit:
                    return True
            case b"]" | b"}":
                depth -= 1
            case _:
                pass
    return False


def repeats_key(text: bytes, kept: Mapping[str, msgspec.Raw]) -> bool:
    """Tell whether the object in `text` has a key twice, given the members that a parser kept of it.

    Each key has its colon. So there are as many outside strings as there are members kept and colons
    in their values, or more when a parser has let a member go. At the speed of C, unlike `members`.
    """
    colons = _colons(text) - len(kept)
    for raw in kept.values():
        value = bytes(raw)
        if value.startswith((b"{", b"[")):
            colons -= _colons(value)
    return colons > 0


def _colons(text: bytes) -> int:
    # What stands between the quotes of a string is every other piece.
    return b"".join(_without_escapes(text).split(b'"')[::2]).count(b":")


def _without_escapes(text: bytes) -> bytes:
    # Left to right: pairs of backslashes first, so that what is left before a quote does escape it.
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text


def _end_of_nest(plain: bytes, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(plain, start):
        match token[0]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
                if depth == 0:
                    return token.end()
            case b'"':
                break
            case _:
                pass
    raise ValueError(f"no end of the value at byte {start}")
