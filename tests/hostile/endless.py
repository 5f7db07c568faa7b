"""Endless: requests without an end, each as the pieces that go on for ever."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.hostile.heads import BODY, SIGNATURE
from tests.running import PATH, request, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 16_384
START = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\n".encode()
CHUNKED = START + f"Signature: {SIGNATURE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}


def _after(start: bytes, repeated: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([start], itertools.repeat(repeated * (PIECE // len(repeated))))


# By what goes on: pieces, and the statuses there may be before the end; with none, it may also just be closed.
ENDLESS: dict[str, tuple[Callable[[], Iterator[bytes]], set[int]]] = {
    "empty lines": (_after(b"", b"\r\n"), {400}),
    "a request line": (_after(b"POST /", b"a"), {400, 431}),
    "a method": (_after(b"", b"P"), {400, 431}),
    "a header": (_after(START + b"X: ", b"a"), {400, 431}),
    "a name": (_after(START, b"a"), {400, 431}),
    "space before a value": (_after(START + b"X:", b" "), {400, 431}),
    "headers": (_after(START, b"X: 1\r\n"), {400, 431}),
    "chunks": (_after(CHUNKED, b"400\r\n" + b"a" * 1024 + b"\r\n"), {413}),
    "tiny chunks": (_after(CHUNKED, b"1\r\na\r\n"), {408, 413}),
    "a chunk's size": (_after(CHUNKED, b"0"), {400, 408, 413, 431}),
    "a chunk's extension": (_after(CHUNKED + b"1;", b"x"), {400, 408, 413, 431}),
    "a chunk's extension's value": (_after(CHUNKED + b'1;a="', b"x"), {400, 408, 413, 431}),
    "trailers": (_after(CHUNKED + b"0\r\n", b"X: 1\r\n"), {400, 408, 413, 431}),
    "a trailer": (_after(CHUNKED + b"0\r\nX: ", b"a"), {400, 408, 413, 431}),
    "a body nobody asked for": (_after(START + b"Content-Length: 10000000000\r\n\r\n", b"a"), {401, 413}),
    "chunks nobody asked for": (_after(START + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), {401}),
    "what follows an upgrade": (_after(request(BODY, {**signed(BODY), **UPGRADE}), b"a"), {202, 400, 431}),
    "what follows a tunnel": (_after(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"a"), {400, 404, 405, 431}),
    "what follows a web socket": (
        _after(request(BODY, {**signed(BODY), "Connection": "Upgrade", "Upgrade": "websocket"}), b"a"),
        {202, 400, 431},
    ),
}
