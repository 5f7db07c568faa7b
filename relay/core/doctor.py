"""Doctor: why a signature does not fit, found by trying what goes wrong in practice.

A signature has four ingredients, and each has its usual mistakes: how it is written down, the algorithm,
the key, and the message. Every mistake of one ingredient is tried with every mistake of the others, fewest
first, until one fits. What fits is no proof of who sent it, and nothing is ever accepted for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from relay.core.errors import Rejected
from relay.core.members import deeper_than
from relay.core.model import Signs
from relay.core.outline import MAX_DEPTH
from relay.core.signature import message_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.core.model import Key, Source

BOM = b"\xef\xbb\xbf"
MAX_MESSAGE = 1 << 20
"""Bytes of a body that is tried in all its forms; a larger one is only tried as it came."""


class Mistake(NamedTuple):
    """One thing that was done otherwise than the relay expects, and what mends it."""

    what: str
    mend: str


class Diagnosis(NamedTuple):
    """Under which key of which source a signature fits, and by which mistakes; none when it is authentic."""

    source: str
    key_id: str
    mistakes: tuple[Mistake, ...]


class _Variant(NamedTuple):
    """One way in which an ingredient may have been made, and the mistake that is, if it is one."""

    value: bytes
    mistake: Mistake | None = None


def diagnose(sources: Sequence[Source], signatures: Sequence[str], body: bytes) -> Diagnosis | None:
    """Find the fewest mistakes by which one of the signatures fits the body; None when nothing tried fits.

    The first source is the one that was posted to, the others may have lent their keys. `signatures` are the
    values of the header as received. A few thousand HMACs: not for the path of a request.
    """
    tried = _attempts(sources, signatures, body)
    found = [(len(mistakes), nth, one) for nth, (one, mistakes) in enumerate(tried)]
    return min(found)[2] if found else None


def _attempts(
    sources: Sequence[Source], signatures: Sequence[str], body: bytes
) -> Iterator[tuple[Diagnosis, tuple[Mistake, ...]]]:
    """Give everything that fits."""
    claimed = list(_digests(signatures))
    messages = {signs: list(_messages(signs, body)) for signs in {source.signs for source in sources}}
    for place, source in enumerate(sources):
        lent = (
            ()
            if place == 0
            else (Mistake(f"it is signed with a key of the source {source.name}", f"post it to {source.path}"),)
        )
        for key in source.keys:
            for secret, message in itertools.product(_secrets(key), messages[source.signs]):
                for name, digest in _computed(secret.value, message.value):
                    for said in claimed:
                        if hmac.compare_digest(digest, said.value):
                            algorithm = (
                                None
                                if name == "HMAC-SHA256"
                                else Mistake(f"it was made by {name}", "have the sender sign with HMAC-SHA256")
                            )
                            parts = (algorithm, said.mistake, secret.mistake, message.mistake)
                            mistakes = lent + tuple(part for part in parts if part)
                            yield Diagnosis(source.name, key.id, mistakes), mistakes


def _digests(signatures: Sequence[str]) -> Iterator[_Variant]:
    """Read what the header says in every spelling of a digest."""
    joined = [part.strip() for value in signatures for part in value.split(",")]
    many = (
        None
        if len(joined) == 1
        else Mistake(
            f"the header stands {len(joined)} times, as a proxy joins or repeats it", "have it sent and passed on once"
        )
    )
    for text in joined:
        for spelling, digest in _spellings(text):
            if many or spelling is None:
                yield _Variant(digest, many)
            else:
                yield _Variant(digest, Mistake(f"the signature is {spelling}", "have it sent in base64 alone"))


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


def _computed(secret: bytes, message: bytes) -> Iterator[tuple[str, bytes]]:
    for name in ("sha256", "sha1", "sha512", "sha384", "md5"):
        yield f"HMAC-{name.upper()}", hmac.digest(secret, message, name)
    yield "SHA256 without a key", hashlib.sha256(message).digest()
    yield "SHA256 of the key and the message, which is no HMAC", hashlib.sha256(secret + message).digest()


def _secrets(key: Key) -> Iterator[_Variant]:
    """Give the key, and what may have been made of it on either side."""
    secret = key.secret
    yield _Variant(secret)
    bare = secret.removeprefix(BOM).strip()
    if bare != secret:
        yield _Variant(bare, Mistake(
            "the relay's key has white space, a newline or a byte order mark around it",
            "write the secret without them (printf, not echo)",
        ))  # fmt: skip
    for name, longer in (("a newline", bare + b"\n"), ("CR and LF", bare + b"\r\n"), ("a byte order mark", BOM + bare)):
        yield _Variant(
            longer, Mistake(f"the sender's key has {name} around it", "have it mended there, or add that key")
        )
    text = bare.decode("utf-8", "replace")
    for name, other in (
        ("in upper case", text.upper()), ("in lower case", text.lower()), ("in braces", f"{{{text}}}"),
        ("in braces, in upper case", f"{{{text.upper()}}}"), ("without braces", text.strip("{}")),
        ("without hyphens", text.replace("-", "")), ("in quotes", f'"{text}"'), ("without quotes", text.strip("\"'")),
    ):  # fmt: skip
        if other != text:
            yield _Variant(
                other.encode(), Mistake(f"the sender's key is the relay's {name}", "set the key as the sender has it")
            )
    with suppress(ValueError):
        guid = bytes.fromhex(text.strip("{}").replace("-", ""))
        for name, raw in (
            ("its 16 bytes, big-endian", guid),
            ("its 16 bytes as .NET orders them", guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]),
        ):
            yield _Variant(raw, Mistake(
                f"the sender takes the GUID as {name}, and not as its text", "have it sign with the text of the key"
            ))  # fmt: skip
    with suppress(ValueError, binascii.Error):
        yield _Variant(base64.b64decode(text, validate=True), Mistake(
            "the sender takes the key as base64 and decodes it", "have it sign with the text of the key"
        ))  # fmt: skip


def _messages(signs: Signs, body: bytes) -> Iterator[_Variant]:
    """Give what the source signs, and what may have become of it on its way."""
    other = Signs.CONTENT if signs is Signs.BODY else Signs.BODY
    for reading, mistake in (
        (signs, None),
        (other, Mistake(f"the sender signs the {other}", f"set signs: {other} for this source")),
    ):
        with suppress(Rejected):
            yield _Variant(message_of(reading, body), mistake)
    if len(body) <= MAX_MESSAGE:
        for name, changed in _forms(body):
            yield _Variant(changed, Mistake(
                f"the body was changed on its way: {name}", "let it pass byte for byte through whatever is in front"
            ))  # fmt: skip


def _forms(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the forms that the body may have had when it was signed; each says what it was then."""
    yield "it had no white space around it when it was signed", body.strip()
    yield "it ended in a newline", body + b"\n"
    yield "it ended in CR and LF", body + b"\r\n"
    yield "its lines ended in CR and LF", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "its lines ended in LF alone", body.replace(b"\r\n", b"\n")
    yield "it had a byte order mark", BOM + body
    yield "it had no byte order mark", body.removeprefix(BOM)
    with suppress(UnicodeDecodeError):
        text = body.removeprefix(BOM).decode()
        for name in ("utf-16-le", "utf-16-be"):
            yield f"it was signed as {name.upper()}", text.encode(name)
        yield "it was signed as UTF-16 with its mark", text.encode("utf-16")
        yield from _encodings(text)


def _encodings(text: str) -> Iterator[tuple[str, bytes]]:
    """Give the same JSON as other encoders write it."""
    if deeper_than(text.encode(), MAX_DEPTH):
        return
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        layouts: tuple[tuple[str, int | str | None, tuple[str, str]], ...] = (
            ("without white space", None, (",", ":")), ("with a space behind each sign", None, (", ", ": ")),
            ("indented by 2", 2, (",", ": ")), ("indented by 4", 4, (",", ": ")),
            ("indented by a tab", "\t", (",", ": ")),
        )  # fmt: skip
        for (layout, indent, separators), ascii_, ordered in itertools.product(layouts, (False, True), (False, True)):
            written = json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_, sort_keys=ordered)
            how = [
                layout,
                *(["what is not ASCII escaped"] if ascii_ else []),
                *(["its keys sorted"] if ordered else []),
            ]
            for name, ended in (("", written), (", lines in CR and LF", written.replace("\n", "\r\n"))):
                yield f"it was JSON {', '.join(how)}{name}", ended.encode("utf-8", "surrogatepass")
