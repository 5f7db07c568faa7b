"""Message: what was signed, as the relay reads it, and what may have become of it on its way."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.core.doctor.encoder import encodings
from relay.core.doctor.variant import BOM, Mistake, Variant
from relay.core.errors import Rejected
from relay.core.model import Signs
from relay.core.signature import message_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE = 1 << 18
"""Bytes of a message that is tried in all its forms; a larger one is only tried as it came."""

MEND = "have the sender sign the bytes that it sends, and let them pass unchanged through whatever is in front"


def messages(signs: Signs, body: bytes) -> Iterator[Variant]:
    """Give each message once, the one with the fewest mistakes first: what the source signs, and then the other."""
    seen: set[bytes] = set()
    other = Signs.CONTENT if signs is Signs.BODY else Signs.BODY
    readings = (
        (signs, ()),
        (other, (Mistake(f"the sender signs the {other}", f"set signs: {other} for this source"),)),
    )
    read: list[Variant] = []
    for reading, mistakes in readings:
        with suppress(Rejected):
            read.append(Variant(message_of(reading, body), mistakes))
    changed = (
        Variant(value, (*message.mistakes, Mistake(f"what came is not what was signed: {name}", MEND)))
        for message in read
        if len(message.value) <= MAX_MESSAGE
        for name, value in _forms(message.value)
    )
    for variant in itertools.chain(read, changed):
        if variant.value not in seen:
            seen.add(variant.value)
            yield variant


def _forms(came: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the forms that a message may have had when it was signed; each says what it was then."""
    for (lines, marked, ended), value in _edges(came):
        name = ", ".join(part for part in (lines, marked, ended) if part)
        yield name, value
    with suppress(UnicodeDecodeError):
        text = came.removeprefix(BOM).decode()
        for name in ("utf-16-le", "utf-16-be"):
            yield f"it was signed as {name.upper()}", text.encode(name)
        yield "it was signed as UTF-16 with a byte order mark", text.encode("utf-16")
        yield from encodings(text)
    for name in ("utf-16-le", "utf-16-be"):
        with suppress(UnicodeDecodeError):
            wide = came.decode(name).removeprefix("\ufeff").encode()
            yield "it was signed as UTF-8, and came as UTF-16", wide


def _edges(came: bytes) -> Iterator[tuple[tuple[str, str, str], bytes]]:
    """Give it with other ends of lines, other ends of its own, and with a byte order mark or without."""
    bare = came.removeprefix(BOM)
    alone = bare.replace(b"\r\n", b"\n")
    for lines, text in (
        ("", bare), ("its lines ended in CR and LF", alone.replace(b"\n", b"\r\n")),
        ("its lines ended in LF alone", alone),
    ):  # fmt: skip
        for ended, whole in (
            ("", text), ("it ended in a newline", text.rstrip() + b"\n"),
            ("it ended in CR and LF", text.rstrip() + b"\r\n"), ("it had no white space behind it", text.rstrip()),
            ("it had no white space in front of it", text.lstrip()),
            ("it had no white space around it", text.strip()),
            ("one more newline ended it", text + b"\n"), ("one more CR and LF ended it", text + b"\r\n"),
        ):  # fmt: skip
            yield (lines, "it had no byte order mark" if bare != came else "", ended), whole
            yield (lines, "it had a byte order mark" if bare == came else "", ended), BOM + whole
