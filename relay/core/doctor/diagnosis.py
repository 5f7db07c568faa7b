"""Diagnosis: the fewest mistakes by which a signature fits."""

from __future__ import annotations

import hashlib
import hmac
from itertools import takewhile, tee
from typing import TYPE_CHECKING, NamedTuple

from relay.core.doctor.message import MAX_MESSAGE, messages
from relay.core.doctor.secret import secrets
from relay.core.doctor.spelling import digests
from relay.core.doctor.variant import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay.core.doctor.variant import Variant
    from relay.core.model import Signs, Source

MOST = 4
"""Mistakes that are tried at once: of the source, of the key or the algorithm, and two of the message."""


class Diagnosis(NamedTuple):
    """Under which key of which source a signature fits, and by which mistakes; none when it is authentic."""

    source: str
    key_id: str
    mistakes: tuple[Mistake, ...]


def diagnose(
    sources: Sequence[Source], signatures: Sequence[str], body: bytes, go_on: Callable[[], bool] = lambda: True
) -> Diagnosis | None:
    """Find the fewest mistakes by which one of the signatures fits the body; None when nothing tried fits.

    The first source is the one that was posted to, the others may have lent their keys. `signatures` are the
    values of the header as received. Tens of thousands of HMACs: not for the path of a request. `go_on` is asked
    all along the way: once it says no, the search ends with the best there is so far.
    """
    claimed = list(digests(signatures))
    signed = {signs: messages(signs, body) for signs in {source.signs for source in sources}}
    held = [
        _Held(source, key.id, _lent(source, place), secret)
        for place, source in enumerate(sources)
        for key in source.keys
        for secret in secrets(key.secret)
    ]
    for count in range(MOST + 1):
        best: Diagnosis | None = None
        for found in _fitting(count, held, signed, claimed, go_on):
            if len(found.mistakes) == count:
                return found
            best = best or found
        if best:
            return best
    return None


def sentence_of(found: Diagnosis | None, size: int) -> str:
    """Say what was found for a body of `size` bytes, in one sentence without secrets."""
    if found is None and size > MAX_MESSAGE:
        tried = f"a body of more than {MAX_MESSAGE >> 10} KiB is too large to be tried in other forms"
        return f"nothing tried explains it, but {tried}: compare it byte for byte with what was sent"
    if found is None:
        return "nothing that goes wrong in practice explains it: another key, another body, or a forgery"
    fits = f"key {found.key_id} of the source {found.source}"
    if not found.mistakes:
        return f"it fits {fits}, which was not there when it came"
    return f"it would fit {fits}, but {'; '.join(mistake.what for mistake in found.mistakes)}"


class _Held(NamedTuple):
    """A key in one of its forms, and the mistake that it is another source's, if it is."""

    source: Source
    key_id: str
    lent: tuple[Mistake, ...]
    secret: Variant


def _lent(source: Source, place: int) -> tuple[Mistake, ...]:
    if place == 0:
        return ()
    return (Mistake(f"it is signed with a key of the source {source.name}", f"post it to {source.path}"),)


def _fitting(
    count: int,
    held: Sequence[_Held],
    signed: dict[Signs, Iterator[Variant]],
    claimed: Sequence[Variant],
    go_on: Callable[[], bool],
) -> Iterator[Diagnosis]:
    """Try all that has `count` mistakes, and give what fits; it has one more where the digest is written otherwise.

    The message as it came is first, as its other forms have to be made, and are many.
    """
    for changes in range(count + 1):
        for one in held:
            rest = count - changes - len(one.lent) - len(one.secret.mistakes)
            if rest not in {0, 1}:
                continue
            for message in _changed(changes, signed, one.source.signs):
                if not go_on():
                    return
                for made, digest in _computed(one.secret, message, otherwise=rest == 1):
                    for said in claimed:
                        if hmac.compare_digest(digest, said.value):
                            mistakes = (*one.lent, *made, *said.mistakes, *one.secret.mistakes, *message.mistakes)
                            yield Diagnosis(one.source.name, one.key_id, mistakes)


def _changed(changes: int, signed: dict[Signs, Iterator[Variant]], signs: Signs) -> Iterator[Variant]:
    """Give the messages that have so many mistakes. They come in that order; those made are kept, no more are made."""
    signed[signs], again = tee(signed[signs])
    up_to = takewhile(lambda variant: len(variant.mistakes) <= changes, again)
    return (variant for variant in up_to if len(variant.mistakes) == changes)


def _computed(secret: Variant, message: Variant, *, otherwise: bool) -> Iterator[tuple[tuple[Mistake, ...], bytes]]:
    """Sign; by another algorithm only where not both ingredients are wrong already: that is the most of the work."""
    if not otherwise:
        yield (), hmac.digest(secret.value, message.value, "sha256")
        return
    if secret.mistakes and message.mistakes:
        return
    for name in ("sha1", "sha512", "sha384", "md5"):
        yield _made_by(f"HMAC-{name.upper()}"), hmac.digest(secret.value, message.value, name)
    yield _made_by("SHA256 without a key"), hashlib.sha256(message.value).digest()
    joined = hashlib.sha256(secret.value + message.value).digest()
    yield _made_by("SHA256 of the key and the message, which is no HMAC"), joined


def _made_by(algorithm: str) -> tuple[Mistake, ...]:
    return (Mistake(f"it was made by {algorithm}", "have the sender sign with HMAC-SHA256"),)
