"""Spelling: the digest that a signature header says, read in every way in which digests are written."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.core.doctor.variant import Mistake, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def digests(signatures: Sequence[str]) -> Iterator[Variant]:
    """Give all that the header's values can mean; nothing for what is no digest in any spelling."""
    joined = [part.strip() for value in signatures for part in value.split(",")]
    many = () if len(joined) == 1 else (Mistake(
        f"the header stands {len(joined)} times, as a proxy joins or repeats it", "have it sent and passed on once"
    ),)  # fmt: skip
    for text in joined:
        for spelling, digest in _spellings(text):
            spelt = (Mistake(f"the signature is {spelling}", "have it sent in base64 alone"),) if spelling else ()
            yield Variant(digest, many or spelt)


def _spellings(text: str) -> Iterator[tuple[str | None, bytes]]:
    bare = text.strip().strip("\"'")
    prefix, equals, rest = bare.partition("=")
    if equals and prefix.lower() in {"sha256", "sha1", "sha512", "hmac"} and rest:
        bare = rest
    plain = None if bare == text else "in quotes, or has a prefix"
    with suppress(ValueError):
        yield plain, base64.b64decode(bare, validate=True)
    with suppress(ValueError):
        yield "in base64 without its padding", base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    with suppress(ValueError):
        yield "in base64url", base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    with suppress(ValueError):
        yield "in hexadecimal digits", bytes.fromhex(bare)
    with suppress(ValueError):  # a hex digest that was encoded once more
        yield "the base64 of hexadecimal digits", bytes.fromhex(base64.b64decode(bare, validate=True).decode("ascii"))
