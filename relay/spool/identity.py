"""Identity: the digests under which the table `ids` knows a delivery."""

from __future__ import annotations

from hashlib import sha256

import msgspec

_pack = msgspec.msgpack.Encoder().encode


def digest_of(source: str, dedupe_id: str) -> bytes:
    """Give the 16 bytes by which a repeat of a source's delivery is found."""
    return _digest(source, dedupe_id)


def conflict_digest_of(source: str, dedupe_id: str, fingerprint: bytes) -> bytes:
    """Give the 16 bytes for a delivery whose id another event has: its own fingerprint tells it from further ones."""
    return _digest(source, "conflict", dedupe_id, fingerprint.hex())


def copy_digest_of(source: str, number: int) -> bytes:
    """Give the 16 bytes for a replay or a mirror, which nothing repeats: its own number tells it from all others."""
    return _digest(source, "copy", str(number))


def _digest(*parts: str) -> bytes:
    return sha256(_pack(parts)).digest()[:16]
