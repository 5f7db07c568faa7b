"""Heads: hostile ones, each with the status of the first answer."""

from __future__ import annotations

import gzip
from typing import NamedTuple

from tests.hostile.attack import MARK
from tests.running import PATH, event, signed
from tests.server.test_limits import UNREADABLE

BODY = event(MARK, event_id="hostile-head")  # one delivery: the first time it is accepted, then a duplicate
SIGNATURE = signed(BODY)["Signature"]
ZEROS = gzip.compress(bytes(64 << 20))  # nobody may find out how many they are


class Head(NamedTuple):
    """What is sent, and the status of the first answer."""

    data: bytes
    status: int


def _posted(lines: str, status: int, *, body: bytes = BODY, framed: bool = True) -> Head:
    """Give a delivery whose signature is right, with more lines in its head."""
    length = f"Content-Length: {len(body)}\r\n" if framed else ""
    signature = signed(body)["Signature"]
    head = f"POST {PATH}?code={MARK} HTTP/1.1\r\nHost: relay\r\nSignature: {signature}\r\n{length}{lines}\r\n"
    return Head(head.encode("latin-1") + body, status)


def _sized(length: str, status: int, *, signature: str = SIGNATURE) -> Head:
    """Give the head of a delivery that claims a length, and no body."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nSignature: {signature}\r\nContent-Length: {length}\r\n\r\n"
    return Head(head.encode("latin-1"), status)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunked(body: bytes, status: int, *, lines: str = "") -> Head:
    posted = _posted(f"Transfer-Encoding: chunked\r\n{lines}", status, framed=False)
    return Head(posted.data.removesuffix(BODY) + body, status)


LINE = "X-Line: " + "a" * 50 + "\r\n"
HEADS: dict[str, Head] = {
    **{f"unreadable, {name}": Head(data, status) for name, (status, data) in UNREADABLE.items()},
    # Repeated.
    "the signature twice": _posted(f"Signature: {SIGNATURE}\r\n", 401),
    "the signature twice, then a wrong one": _posted(f"signature: {'A' * 43}=\r\n", 401),
    "the signature again in a list": _posted(f"SIGNATURE: {SIGNATURE}, {SIGNATURE}\r\n", 401),
    "a hundred signatures": _posted(f"Signature: {SIGNATURE}\r\n" * 100, 401),
    "the length twice": _posted(f"Content-Length: {len(BODY)}\r\n", 400),
    "the host twice": _posted("Host: other\r\n", 400),
    "no host": Head(_posted("", 202).data.replace(b"Host: relay\r\n", b""), 400),
    "the type twice": _posted("Content-Type: a/b\r\nContent-Type: c/d\r\n", 400),
    "a parent twice": _posted("traceparent: a\r\ntraceparent: b\r\n", 202),
    "a hundred equal headers": _posted("X-Same: 1\r\n" * 100, 202),
    "a thousand equal headers": _posted("X-Same: 1\r\n" * 1000, 400),
    "a thousand headers": _posted("".join(f"X-{number}: {MARK}\r\n" for number in range(1000)), 400),
    "a thousand signatures": _posted(f"Signature: {SIGNATURE}\r\n" * 1000, 400),
    # Long.
    "a long header": _posted(f"X-Long: {MARK * 1500}\r\n", 431),
    "a long signature": _posted(f"Signature: {'A' * 10_240}\r\n", 431),
    "a long name": _posted(f"{'x' * 10_240}: 1\r\n", 431),
    "a long parent": _posted(f"traceparent: {'0' * 8000}\r\n", 202),
    "a long algorithm": _posted(f"Algorithm: {'HMACSHA256' * 700}\r\n", 202),
    "a long query": Head(f"POST {PATH}?{'a' * 10_240} HTTP/1.1\r\n\r\n".encode(), 431),
    "a long method": Head(b"P" * 10_240 + b" / HTTP/1.1\r\n\r\n", 400),
    "a head of a megabyte": _posted(LINE * 20_000, 400),
    # Not ASCII.
    "a signature that is not ASCII": _posted(f"Signature: \xe9{SIGNATURE[1:]}\r\n", 401),
    "an algorithm that is not ASCII": _posted("Algorithm: HM\xc4CSHA256\r\n", 202),
    "a parent that is not ASCII": _posted("traceparent: \xff\xfe\r\n", 202),
    "any header that is not ASCII": _posted("X-Name: \x80\xff\xed\xa0\x80\r\n", 202),
    "a host that is not ASCII": _posted("Host: \xe9\r\n", 400),
    "a name that is not ASCII": _posted("X-\xe9: 1\r\n", 400),
    "a length that is not ASCII": _sized("\xb2", 400),
    "a coding that is not ASCII": _posted("Content-Encoding: \xe9\r\n", 415),
    "a framing that is not ASCII": _posted("Transfer-Encoding: \xe9\r\n", 400),
    "an expectation that is not ASCII": _posted("Expect: 100-continu\xe9\r\n", 202),
    "a path that is not ASCII": Head(b"POST /\xff\xe9" + PATH.encode() + b" HTTP/1.1\r\n\r\n", 400),
    "a path with lone surrogates": Head(b"POST /\xed\xa0\x80 HTTP/1.1\r\nHost: relay\r\n\r\n", 400),
    "a path that is no path": Head(b"POST http://[::1 HTTP/1.1\r\nHost: relay\r\n\r\n", 400),
    "a path with a line of the log": Head(b"POST /%0a%7b%22event%22 HTTP/1.1\r\nHost: r\r\n\r\n", 404),
    "a port that is no port": Head(f"POST http://a:99999{PATH} HTTP/1.1\r\n\r\n".encode(), 400),
    # To be unpacked.
    "gzip": _posted("Content-Encoding: gzip\r\n", 415, body=gzip.compress(BODY)),
    "gzip that grows": _posted("Content-Encoding: gzip\r\n", 415, body=ZEROS),
    "deflate, in chunks": _chunked(_chunk(BODY) + b"0\r\n\r\n", 415, lines="Content-Encoding: deflate\r\n"),
    "a framing with gzip": _posted("Transfer-Encoding: gzip, chunked\r\n", 400, framed=False),
    # Sizes.
    "ten gigabytes": _sized("10000000000", 413),
    "ten gigabytes of a stranger": _sized("10000000000", 413, signature="none"),
    "more than 64 bits": _sized("1" + "0" * 30, 400),
    "exactly 64 bits": _sized(str(1 << 64), 400),
    "five thousand digits": _sized("9" * 5000, 400),
    "tiny chunks": _chunked(b"".join(_chunk(bytes([byte])) for byte in BODY) + b"0\r\n\r\n", 202),
    "a chunk of ten gigabytes": _chunked(b"2540BE400\r\n", 408),
    "a chunk of more than 64 bits": _chunked(b"F" * 17 + b"\r\n", 400),
    "a chunk of five thousand digits": _chunked(b"0" * 5000 + b"1\r\na\r\n0\r\n\r\n", 401),
    "a chunk with a long extension": _chunked(b"1;" + b"x" * 50_000 + b"\r\na\r\n0\r\n\r\n", 401),
    "a thousand trailers": _chunked(_chunk(BODY) + b"0\r\n" + b"X-Same: 1\r\n" * 1000 + b"\r\n", 400),
    "a long trailer": _chunked(_chunk(BODY) + b"0\r\nX-Long: " + b"a" * 10_240 + b"\r\n\r\n", 431),
    "the signature as a trailer": Head(
        f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + _chunk(BODY)
        + f"0\r\nSignature: {SIGNATURE}\r\n\r\n".encode(),
        401,
    ),
    # Expectations.
    "an expectation with its body": _posted("Expect: 100-continue\r\n", 100),
    "an expectation twice": _posted("Expect: 100-continue\r\nExpect: 100-continue\r\n", 100),
    "another expectation": _posted("Expect: 200-ok\r\n", 202),
    "an expectation and ten gigabytes": Head(
        _sized("10000000000", 413).data.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), 413
    ),
    # To be something else than HTTP/1.1.
    "an upgrade": _posted("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", 202),
    "a web socket": _posted("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 202),
    "a tunnel": Head(b"CONNECT relay:443 HTTP/1.1\r\nHost: relay:443\r\n\r\n", 404),
    "a connection that is to lose the signature": _posted("Connection: Signature, Content-Length\r\n", 202),
}
