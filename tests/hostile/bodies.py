"""Bodies: hostile ones, authentic or not, and what becomes of them when they are."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.hostile.attack import MARK, PLANTED

DEEP = 100_000
DIGITS = b"9" * 5000


class Body(NamedTuple):
    """A body with room for an id, and the data it is published with when authentic; without data it is dead."""

    text: bytes
    data: bytes | None = None

    def with_id(self, name: str) -> bytes:
        """Give the body with an id of its own, where it has one."""
        return self.text.replace(b"<id>", name.encode())


def _delivery(content: bytes, more: bytes = b"", meta: bytes = b'"idempotencyKey":"<id>"') -> bytes:
    return b'{"type":"ProvisioningFailed","content":%b,"meta":{%b}%b}' % (content, meta, more)


def _dead(content: bytes, more: bytes = b"") -> Body:
    return Body(_delivery(content, more))


def _kept(content: bytes, more: bytes = b"") -> Body:
    return Body(_delivery(content, more), content)


_PLAIN = _delivery(b'{"name":"%b"}' % MARK.encode())

BODIES: dict[str, Body] = {
    # Not JSON at all, or not one JSON object.
    "nothing": Body(b""),
    "words": Body(b"hello " + MARK.encode()),
    "zeros": Body(bytes(100_000)),
    "XML": Body(b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "a form": Body(b"type=ProvisioningFailed&content=" + MARK.encode()),
    "a list": Body(b"[" + _PLAIN + b"]"),
    "two objects": Body(_PLAIN + _PLAIN),
    "half an object": Body(_PLAIN[: len(_PLAIN) // 2]),
    "an object and a zero": Body(_PLAIN + b"\0"),
    "a comment": _dead(b"{/* */}"),
    "a comma too many": _dead(b'{"a":1,}'),
    "single quotes": _dead(b"{'a':1}"),
    # Not UTF-8, or no Unicode.
    "a byte that is not UTF-8": _dead(b'{"name":"\xff"}'),
    "a byte that is not UTF-8 in a member nobody reads": _dead(b"1", b',"x":"\xff"'),
    "an overlong slash": _dead(b'{"name":"\xc0\xaf"}'),
    "a surrogate in UTF-8": _dead(b'{"name":"\xed\xa0\x80"}'),
    "UTF-16": Body(_PLAIN.decode().encode("utf-16")),
    "a BOM": Body(b"\xef\xbb\xbf" + _PLAIN),
    "a BOM inside": _kept(b'{"name":"\xef\xbb\xbf"}'),
    "a lone surrogate": _dead(rb'{"name":"\ud800"}'),
    "a lone low surrogate": _dead(rb'{"name":"\udfff x"}'),
    "surrogates the wrong way round": _dead(rb'{"name":"\udc00\ud800"}'),
    "a lone surrogate as a key": _dead(rb'{"\ud800":1}'),
    "a lone surrogate in the id": Body(_delivery(b"1", meta=rb'"idempotencyKey":"\ud800"')),
    "a pair of surrogates": _kept(rb'{"name":"\ud83d\ude00"}'),
    "a zero, escaped": _kept(rb'{"name":"a\u0000b"}'),
    "a zero in a text": _dead(b'{"name":"a\0b"}'),
    "a line feed in a text": _dead(b'{"name":"a\nb"}'),
    # Deep.
    "lists nested deep": _dead(b"[" * DEEP + b"]" * DEEP),
    "objects nested deep": _dead(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "lists nested deep in a member nobody reads": _dead(b"1", b',"x":' + b"[" * DEEP + b"]" * DEEP),
    "lists nested deep without an end": Body(b"[" * DEEP),
    "objects nested deep without an end": Body(b'{"a":' * DEEP),
    "nothing but ends": Body(b"]" * DEEP),
    "brackets in a text": _kept(b'{"name":"' + b"[" * DEEP + b'"}'),
    "deep JSON in a content that is a text": _kept(b'"' + b"[" * DEEP + b"]" * DEEP + b'"'),
    # Numbers.
    "a long number": _dead(b'{"n":' + DIGITS + b"}"),
    "a long number in a member nobody reads": _kept(b"1", b',"n":' + DIGITS),
    "a long fraction": _kept(b'{"n":0.' + DIGITS + b"}"),
    "a long exponent": _dead(b'{"n":1e' + DIGITS + b"}"),
    "a number as the id": Body(_delivery(b"1", meta=b'"idempotencyKey":' + DIGITS)),
    "more than a float holds": _dead(b'{"n":1e400}'),
    "zero, negative": _kept(b'{"n":-0}'),
    "a leading zero": _dead(b'{"n":01}'),
    "NaN": _dead(b'{"n":NaN}'),
    "NaN in a member nobody reads": _dead(b"1", b',"n":NaN'),
    "infinity": _dead(b'{"n":-Infinity}'),
    # Keys.
    "the type twice": _dead(b"1", b',"type":"ProvisioningFailed"'),
    "the type twice, once escaped": _dead(b"1", rb',"\u0074ype":"ProvisioningFailed"'),
    "the content twice": _dead(b"1", b',"content":1'),
    "meta twice": _dead(b"1", b',"meta":{"idempotencyKey":"other"}'),
    "any key twice": _dead(b"1", b',"x":1,"x":1'),
    "the id twice": Body(_delivery(b"1", meta=b'"idempotencyKey":"<id>","idempotencyKey":"other"')),
    "a key twice in the content": _kept(b'{"name":"a","name":"b","type":1,"type":2}'),
    "a key twice in a content that is a text": Body(
        _delivery(rb'"{\"name\":\"a\",\"name\":\"b\"}"'), b'{"name":"a","name":"b"}'
    ),
    "many keys": _kept(b"{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}"),
    "keys of other languages": _kept(b'{"__proto__":{"admin":true},"constructor":1,"$type":"System.Object"}'),
    # What only looks like the three that are required.
    "an empty object": Body(b"{}"),
    "a type that is a list": Body(b'{"type":["ProvisioningFailed"],"content":1,"meta":{"idempotencyKey":"<id>"}}'),
    "a type with a line of the log": Body(
        b'{"type":%b,"content":1,"meta":{"idempotencyKey":"<id>"}}'
        % json.dumps(f'\n{{"event":"{PLANTED}","level":"error"}}\r\n\x1b[2J').encode()
    ),
    "an id as long as the body may be": Body(_delivery(b"1", meta=b'"idempotencyKey":"' + b"i" * 900_000 + b'"')),
    "a meta that is a list": Body(b'{"type":"ProvisioningFailed","content":1,"meta":["<id>"]}'),
    # As large as a body may be.
    "a megabyte of quotes": Body(b'"' * (1 << 20)),
    "a megabyte of backslashes": Body(b"\\" * (1 << 20)),
    "a megabyte of colons": Body(b":" * (1 << 20)),
    "a megabyte of space": Body(b" " * (1 << 20)),
    "nearly a megabyte of escapes": _kept(b'"' + rb"\u0041" * 140_000 + b'"'),
    "more than Kafka takes": _dead(b'"' + rb"\u0041" * 170_000 + b'"'),
    "a megabyte of commas": Body(b"[" + b"," * 1_000_000),
}
REASONS = {
    "a type with a line of the log": "unroutable",
    "more than Kafka takes": "too_large",
}  # all others that are dead are malformed
