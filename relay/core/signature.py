"""Authentication: is this request signed with a key we share with its sender.

The rules, in the order they are applied:

1. There is exactly one `Signature` header: base64 of 32 bytes as the encoder writes it, so that one
   signature has one spelling.
2. The message is the body, or for `signs: content` the value of the one top-level `content`: its raw
   bytes, or for a JSON string the unescaped text in UTF-8.
3. Every key is tried, always, and compared in constant time.
4. The algorithm is HMAC-SHA256. What the `Algorithm` header says is compared, never obeyed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from relay.core.errors import Refusal, Rejected
from relay.core.members import members
from relay.core.model import Delivery, Signs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.model import Key, Source

_DIGEST_LENGTH = 32  # bytes of SHA-256
_SIGNATURE_LENGTH = 44  # characters of their base64
_ALGORITHMS = frozenset({"hmacsha256", "sha256"})
# W3C Trace Context, 3.2: version ff and ids of zeros are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def authenticate(  # noqa: PLR0913 - all there is of a request, each by keyword
    source: Source,
    signatures: Sequence[str],
    body: bytes,
    *,
    algorithms: Sequence[str],  # noqa: ARG001 - in sight, and never obeyed: see `algorithm_matches`
    received_at: float,
    traceparent: str | None,
) -> Delivery:
    """Make a delivery of a request that one of the source's keys has signed.

    `signatures` and `algorithms` are all values of those headers, as received. `received_at` is in
    seconds since the epoch. A `traceparent` that W3C Trace Context calls invalid is left out.

    Raises Rejected: missing_signature, repeated_signature, malformed_signature, ambiguous_content,
    bad_signature.
    """
    digest = _digest_of(signatures)
    key_id = _signing_key(source.keys, message_of(source.signs, body), digest)
    if key_id is None:
        raise Rejected(Refusal.BAD_SIGNATURE)
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) is None:
        traceparent = None
    return Delivery(source.name, body, signatures[0], key_id, received_at, traceparent)


def check_shape(signatures: Sequence[str]) -> None:
    """Refuse what cannot be a signature, whatever the body: before it is read.

    Raises Rejected: missing_signature, repeated_signature, malformed_signature.
    """
    _digest_of(signatures)


def other_reading_verifies(source: Source, signatures: Sequence[str], body: bytes) -> bool:
    """Tell whether a request that `authenticate` refused would pass with the other `signs`.

    For the log only: the vendor's text allows both readings, and a wrong guess looks like forgery.
    """
    other = replace(source, signs=Signs.CONTENT if source.signs is Signs.BODY else Signs.BODY)
    try:
        return _signing_key(other.keys, message_of(other.signs, body), _digest_of(signatures)) is not None
    except Rejected:
        return False


def algorithm_matches(algorithms: Sequence[str]) -> bool:
    """Tell whether the one `Algorithm` header names HMAC-SHA256; case, `-` and `_` do not count."""
    if len(algorithms) != 1:
        return False
    return algorithms[0].lower().replace("-", "").replace("_", "") in _ALGORITHMS


def message_of(signs: Signs, body: bytes) -> bytes:
    """Give the bytes of a body that a sender signs.

    Raises Rejected (ambiguous_content) when `signs` is content and there is not exactly one
    top-level `content` that has such bytes.
    """
    if signs is Signs.BODY:
        return body
    try:
        spans = [(start, end) for key, start, end in members(body) if key == "content"]
        if len(spans) != 1:
            raise Rejected(Refusal.AMBIGUOUS_CONTENT, f"{len(spans)} members named content")
        raw = body[slice(*spans[0])]
        return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw
    except ValueError as error:
        raise Rejected(Refusal.AMBIGUOUS_CONTENT, "no object with a readable content") from error


def sign(key: bytes, message: bytes) -> str:
    """Give the `Signature` header of a message: base64(HMAC-SHA256(key, message))."""
    return base64.b64encode(hmac.digest(key, message, "sha256")).decode("ascii")


def fingerprint(secret: bytes) -> str:
    """Name a key for logs: 8 hexadecimal digits from which the key cannot be found."""
    return hashlib.sha256(b"syskit point relay: key id\0" + secret).hexdigest()[:8]


def _digest_of(signatures: Sequence[str]) -> bytes:
    if not signatures:
        raise Rejected(Refusal.MISSING_SIGNATURE)
    if len(signatures) > 1:
        raise Rejected(Refusal.REPEATED_SIGNATURE)
    text = signatures[0]
    if len(text) == _SIGNATURE_LENGTH:
        try:
            digest = binascii.a2b_base64(text)
        except ValueError as error:
            raise Rejected(Refusal.MALFORMED_SIGNATURE) from error
        # However leniently that was read: only what the encoder writes comes back the same.
        if len(digest) == _DIGEST_LENGTH and binascii.b2a_base64(digest, newline=False).decode("ascii") == text:
            return digest
    raise Rejected(Refusal.MALFORMED_SIGNATURE)


def _signing_key(keys: Sequence[Key], message: bytes, digest: bytes) -> str | None:
    found = None
    for key in keys:  # to the end, whichever key it was
        if hmac.compare_digest(hmac.digest(key.secret, message, "sha256"), digest):
            found = key.id
    return found
