"""Diagnosis: the fewest mistakes by which a signature fits."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from relay.core.doctor.message import messages
from relay.core.doctor.secret import secrets
from relay.core.doctor.spelling import digests
from relay.core.doctor.variant import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from relay.core.doctor.variant import Variant
    from relay.core.model import Source

T = TypeVar("T")


class Diagnosis(NamedTuple):
    """Under which key of which source a signature fits, and by which mistakes; none when it is authentic."""

    source: str
    key_id: str
    mistakes: tuple[Mistake, ...]


def diagnose(
    sources: Sequence[Source], signatures: Sequence[str], body: bytes, pause: Callable[[], None] = lambda: None
) -> Diagnosis | None:
    """Find the fewest mistakes by which one of the signatures fits the body; None when nothing tried fits.

    The first source is the one that was posted to, the others may have lent their keys. `signatures` are the
    values of the header as received. Tens of thousands of HMACs: not for the path of a request. `pause` is called all
    along the way, and may raise to end it.
    """
    tried = _fitting(sources, signatures, body, pause)
    found = [(len(one.mistakes), nth, one) for nth, one in enumerate(tried)]
    return min(found)[2] if found else None


def sentence_of(found: Diagnosis | None) -> str:
    """Say what was found, in one sentence without secrets."""
    if found is None:
        return "nothing that goes wrong in practice explains it: another key, another body, or a forgery"
    fits = f"key {found.key_id} of the source {found.source}"
    if not found.mistakes:
        return f"it fits {fits}, which was not there when it came"
    return f"it would fit {fits}, but {'; '.join(mistake.what for mistake in found.mistakes)}"


def _fitting(
    sources: Sequence[Source], signatures: Sequence[str], body: bytes, pause: Callable[[], None]
) -> Iterator[Diagnosis]:
    """Try everything, and give what fits."""
    claimed = list(digests(signatures))
    signed = {signs: list(_paced(messages(signs, body), pause)) for signs in {source.signs for source in sources}}
    for place, source in enumerate(sources):
        lent = () if place == 0 else (
            Mistake(f"it is signed with a key of the source {source.name}", f"post it to {source.path}"),
        )  # fmt: skip
        for key in source.keys:
            for secret, message in _paced(itertools.product(secrets(key.secret), signed[source.signs]), pause):
                for made, digest in _computed(secret, message):
                    for said in claimed:
                        if hmac.compare_digest(digest, said.value):
                            mistakes = (*lent, *made, *said.mistakes, *secret.mistakes, *message.mistakes)
                            yield Diagnosis(source.name, key.id, mistakes)


def _paced(things: Iterable[T], pause: Callable[[], None]) -> Iterator[T]:
    for thing in things:
        pause()
        yield thing


def _computed(secret: Variant, message: Variant) -> Iterator[tuple[tuple[Mistake, ...], bytes]]:
    """Sign; by another algorithm only where not both ingredients are wrong already: that is the most of the work."""
    yield (), hmac.digest(secret.value, message.value, "sha256")
    if secret.mistakes and message.mistakes:
        return
    for name in ("sha1", "sha512", "sha384", "md5"):
        yield _made_by(f"HMAC-{name.upper()}"), hmac.digest(secret.value, message.value, name)
    yield _made_by("SHA256 without a key"), hashlib.sha256(message.value).digest()
    joined = hashlib.sha256(secret.value + message.value).digest()
    yield _made_by("SHA256 of the key and the message, which is no HMAC"), joined


def _made_by(algorithm: str) -> tuple[Mistake, ...]:
    return (Mistake(f"it was made by {algorithm}", "have the sender sign with HMAC-SHA256"),)
