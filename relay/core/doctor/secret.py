"""Secret: the key that the relay has, and what either side may have made of it."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.core.doctor.variant import BOM, Mistake, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

GUID_BYTES = 16


def secrets(secret: bytes) -> Iterator[Variant]:
    """Give the key as it is, then as it may have been meant, then as the sender may have it."""
    yield Variant(secret)
    bare = secret.removeprefix(BOM).strip()
    if bare != secret:
        yield Variant(bare, (Mistake(
            "the relay's key has white space, a newline or a byte order mark around it",
            "write the secret without them (printf, not echo)",
        ),))  # fmt: skip
    for name, value in _surrounded(bare):
        yield Variant(
            value, (Mistake(f"the sender's key has {name} around it", "have it mended there, or add that key"),)
        )
    text = bare.decode("utf-8", "replace")
    for name, value in _written(text):
        if value != bare:
            yield Variant(
                value, (Mistake(f"the sender's key is the relay's {name}", "set the key as the sender has it"),)
            )
    for name, value in _taken(text):
        yield Variant(value, (Mistake(f"the sender takes {name}", "have it sign with the text of the key"),))


def _surrounded(bare: bytes) -> Iterator[tuple[str, bytes]]:
    yield "a newline", bare + b"\n"
    yield "CR and LF", bare + b"\r\n"
    yield "a space", bare + b" "
    yield "a space", b" " + bare
    yield "a byte order mark", BOM + bare
    yield "a byte order mark and a newline", BOM + bare + b"\n"
    yield "a byte order mark, CR and LF", BOM + bare + b"\r\n"
    yield "a zero byte", bare + b"\0"


def _written(text: str) -> Iterator[tuple[str, bytes]]:
    yield "in upper case", text.upper().encode()
    yield "in lower case", text.lower().encode()
    yield "in braces", f"{{{text}}}".encode()
    yield "in braces, in upper case", f"{{{text.upper()}}}".encode()
    yield "without braces", text.strip("{}").encode()
    yield "without hyphens", text.replace("-", "").encode()
    yield "without hyphens, in upper case", text.replace("-", "").upper().encode()
    yield "in quotes", f'"{text}"'.encode()
    yield "without quotes", text.strip("\"'").encode()
    yield "in UTF-16 (Encoding.Unicode of .NET)", text.encode("utf-16-le")
    yield "in UTF-16-BE", text.encode("utf-16-be")
    yield "in base64", base64.b64encode(text.encode())


def _taken(text: str) -> Iterator[tuple[str, bytes]]:
    with suppress(ValueError):
        raw = bytes.fromhex(text.strip("{}").replace("-", ""))
        if len(raw) == GUID_BYTES:
            yield "the GUID as its 16 bytes, big-endian, and not as its text", raw
            ordered = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
            yield "the GUID as its 16 bytes as .NET orders them, and not as its text", ordered
        else:
            yield "the key as hexadecimal digits and decodes it", raw
    with suppress(ValueError, binascii.Error):
        yield "the key as base64 and decodes it", base64.b64decode(text, validate=True)
