"""Mutations of a signed request, each with what the contract says of it.

The rule is thought out here anew and asks nothing of the relay: a mutation is accepted only when path,
signature and body are those of the original, to the byte. Then it is a duplicate.
"""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, NamedTuple

from tests.running import PATH, event, signed

if TYPE_CHECKING:
    from collections.abc import Callable

IN_PATHS = (string.ascii_letters + string.digits + "-._~/%").encode()
ANY = bytes(range(256))
VISIBLE = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))  # what may stand in a header's value, but for space
SPACES = (b"", b" ", b"\t", b"   ", b" \t ")


class Original(NamedTuple):
    """A delivery as it was signed."""

    path: bytes
    signature: bytes
    body: bytes

    @classmethod
    def number(cls, number: int) -> Original:
        """Give one of the originals, of different sizes; the same bytes each time."""
        body = event("team" * (1 + 7 * number), event_id=f"original-{number}")
        return cls(PATH.encode(), signed(body)["Signature"].encode(), body)

    def written(self) -> bytes:
        """Give the request."""
        return (
            b"POST %b HTTP/1.1\r\nHost: relay\r\nSignature: %b\r\nAlgorithm: HMACSHA256\r\nContent-Length: %d\r\n\r\n%b"
            % (
                self.path,
                self.signature,
                len(self.body),
                self.body,
            )
        )


class Mutation(NamedTuple):
    """A request, and whether it may be accepted; `framed` when it is sure where it ends, so that others may follow."""

    data: bytes
    may_pass: bool
    must_pass: bool = False
    framed: bool = True


def mutated(text: bytes, chance: random.Random, alphabet: bytes = ANY) -> bytes:
    """Change some bytes once: a bit, a byte, its case, its place, its being there, or where the text ends."""
    at = int(chance.random() * len(text))
    before, byte, after = text[:at], text[at : at + 1], text[at + 1 :]
    match int(chance.random() * 8):
        case 0 if alphabet is ANY:
            byte = bytes([byte[0] ^ 1 << int(chance.random() * 8)])
        case 0 | 1:
            byte = bytes([chance.choice(alphabet)])
        case 2:
            byte += bytes([chance.choice(alphabet)])
        case 3:
            byte = b""
        case 4:
            byte = after = b""
        case 5:
            byte = byte.swapcase()
        case 6:
            other = int(chance.random() * (len(after) + 1))
            byte, after = after[other : other + 1], after[:other] + byte + after[other + 1 :]
        case _:
            byte += text[at : at + 8]
    return before + byte + after


def of_the_body(original: Original, chance: random.Random) -> Mutation:
    """Another body under the same signature, framed as it should be."""
    body = mutated(original.body, chance)
    if body == original.body:  # a letter's case that is none, or two equal bytes that changed places
        body = mutated(body, chance)
    return Mutation(original._replace(body=body).written(), body == original.body)


def of_the_signature(original: Original, chance: random.Random) -> Mutation:
    """Another signature of the same body."""
    signature = mutated(original.signature, chance, VISIBLE)
    return Mutation(original._replace(signature=signature).written(), signature == original.signature)


def of_the_path(original: Original, chance: random.Random) -> Mutation:
    """Another path; what stands behind a question mark is no part of it."""
    path = b"/" + mutated(original.path[1:], chance, IN_PATHS)
    return Mutation(original._replace(path=path).written(), path == original.path)


def of_no_importance(original: Original, chance: random.Random) -> Mutation:
    """Case, space and order of headers, other headers, a query: the same delivery."""
    headers = [(b"Host", b"relay"), (b"Signature", original.signature), (b"Content-Length", b"%d" % len(original.body))]
    headers.append((b"Algorithm", bytes(chance.choices(VISIBLE, k=8))))
    headers.append((b"X-%d" % chance.randrange(1000), bytes(chance.choices(VISIBLE, k=chance.randrange(1, 40)))))
    chance.shuffle(headers)
    lines = [
        b"%b:%b%b%b\r\n"
        % (bytes(chance.choice((each, each ^ 32)) if each > 64 else each for each in name), before, value, after)
        for name, value in headers
        for before, after in [(chance.choice(SPACES), chance.choice(SPACES))]
    ]
    query = chance.choice((b"", b"?", b"?code=%d" % chance.randrange(1 << 30), b"?a?b"))
    request = b"POST %b%b HTTP/1.1\r\n%b\r\n%b" % (original.path, query, b"".join(lines), original.body)
    return Mutation(request, may_pass=True, must_pass=True)


def of_anything(original: Original, chance: random.Random) -> Mutation:
    """Any byte of the whole request, the framing included."""
    data = original.written()
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = mutated(data, chance)
    return Mutation(data, says_the_same(data, original), framed=False)


def says_the_same(data: bytes, original: Original) -> bool:
    """Tell whether path, signature and body stand in a request as they stand in the original."""
    head, _, rest = data.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    target = line.split(b" ")[1:2]
    named = [(name.lower(), value.strip(b" \t")) for name, _, value in (each.partition(b":") for each in headers)]
    lengths = [value.lstrip(b"0") for name, value in named if name == b"content-length"]
    return (
        [path.partition(b"?")[0] for path in target] == [original.path]
        and [value for name, value in named if name == b"signature"] == [original.signature]
        and lengths == [b"%d" % len(original.body)]
        and rest[: len(original.body)] == original.body
    )


# How many of a thousand are of which kind. Those whose end is not sure need a connection each.
KINDS: tuple[tuple[int, Callable[[Original, random.Random], Mutation]], ...] = (
    (660, of_the_body),
    (250, of_the_signature),
    (60, of_the_path),
    (10, of_no_importance),
    (20, of_anything),
)


def mutations(seed: int, number: int, originals: list[Original]) -> list[Mutation]:
    """Give some mutations of each kind, always the same for one seed."""
    chance = random.Random(seed)
    weights, kinds = zip(*KINDS, strict=True)
    chosen = chance.choices(kinds, weights, k=number)
    return [kind(originals[int(chance.random() * len(originals))], chance) for kind in chosen]
