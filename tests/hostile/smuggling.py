"""Smuggling: requests that hide a second one where a strict reader sees a body, or nothing at all.

What is hidden is a delivery with a right signature, so that a reader who is taken in accepts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.running import PATH, event, request, signed

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = event(event_id="seen by all")
SIGNATURE = signed(BODY)["Signature"]
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nSignature: {SIGNATURE}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _lengths(lines: bytes) -> Callable[[bytes], bytes]:
    """Say two things about the end of the body; it ends at 0 by one of them, behind what is hidden by the other."""

    def smuggle(hidden: bytes) -> bytes:
        return HEAD + lines.replace(b"<all>", b"%d" % (len(hidden) + 5)) + b"\r\n0\r\n\r\n" + hidden

    return smuggle


def _sized(length: bytes) -> Callable[[bytes], bytes]:
    """Write the length of the body as nobody should; lenient readers end it before what is hidden."""
    return lambda hidden: HEAD + b"Content-Length: " + length + b"\r\n\r\n" + BODY + hidden


def _first_chunk(size: bytes) -> Callable[[bytes], bytes]:
    """Write a chunk's size as nobody should: another reader sees it end somewhere else."""

    def smuggle(hidden: bytes) -> bytes:
        line = size.replace(b"<size>", b"%x" % len(BODY))
        return HEAD + CHUNKED + b"\r\n" + line + BODY + b"\r\n0\r\n\r\n" + hidden

    return smuggle


def _in_chunk(before: bytes, after: bytes = b"\r\n0\r\n\r\n") -> Callable[[bytes], bytes]:
    """Hide it in the data of the one chunk, behind what may end the chunk for others."""

    def smuggle(hidden: bytes) -> bytes:
        data = before + hidden
        return HEAD + CHUNKED + b"\r\n%x\r\n" % len(data) + data + after

    return smuggle


def _body(lines: bytes, line: bytes = HEAD) -> Callable[[bytes], bytes]:
    """Hide it as the body, framed as it should be, of a request that is refused before its body is read."""
    return lambda hidden: line + lines + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden


def _line(method: bytes, target: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: relay\r\nSignature: %b\r\n" % (method, target, SIGNATURE.encode())


_ALL, _FIVE = b"Content-Length: <all>\r\n", b"Content-Length: 5\r\n"
_LENGTH = b"%d" % len(BODY)
SMUGGLED: dict[str, Callable[[bytes], bytes]] = {
    # Both lengths: whoever believes the other one sees what is hidden as a request.
    "a length, then chunks": _lengths(_ALL + CHUNKED),
    "chunks, then a length": _lengths(CHUNKED + _ALL),
    "a short length and chunks": _lengths(_FIVE + CHUNKED),
    "two lengths": _lengths(_ALL + _FIVE),
    "two lengths, the short one first": _lengths(_FIVE + _ALL),
    "two lengths in one": _lengths(b"Content-Length: 5, <all>\r\n"),
    "a length in another case": _lengths(b"content-length: <all>\r\nCONTENT-LENGTH: 5\r\n"),
    "another framing": _lengths(_ALL + b"Transfer-Encoding: xchunked\r\n"),
    "identity": _lengths(_ALL + b"Transfer-Encoding: identity\r\n"),
    "chunks, then identity": _lengths(_ALL + b"Transfer-Encoding: chunked, identity\r\n"),
    "chunks twice": _lengths(_ALL + CHUNKED + CHUNKED),
    "chunks in two headers": _lengths(_ALL + CHUNKED + b"Transfer-Encoding: cow\r\n"),
    "chunks behind a tab": _lengths(_ALL + b"Transfer-Encoding:\tchunked\r\n"),
    "chunks behind a vertical tab": _lengths(_ALL + b"Transfer-Encoding: \x0bchunked\r\n"),
    "chunks before a null": _lengths(_ALL + b"Transfer-Encoding: chunked\0\r\n"),
    "chunks in quotes": _lengths(_ALL + b'Transfer-Encoding: "chunked"\r\n'),
    "chunks before a colon apart": _lengths(_ALL + b"Transfer-Encoding : chunked\r\n"),
    "chunks in a name with an underscore": _lengths(_ALL + b"Transfer_Encoding: chunked\r\n"),
    "chunks folded": _lengths(_ALL + b"Transfer-Encoding:\r\n chunked\r\n"),
    "chunks in a folded line": _lengths(_ALL + b"X: 1\r\n Transfer-Encoding: chunked\r\n"),
    "chunks behind a bare LF": _lengths(_ALL + b"X: 1\nTransfer-Encoding: chunked\r\n"),
    "chunks behind a bare CR": _lengths(_ALL + b"X: 1\rTransfer-Encoding: chunked\r\n"),
    "a length behind a bare LF": _lengths(b"X: 1\nContent-Length: <all>\r\n" + CHUNKED),
    "a length folded": _lengths(b"Content-Length:\r\n <all>\r\n" + CHUNKED),
    "a length that the connection is to lose": _lengths(b"Connection: Content-Length\r\n" + _ALL),
    # Lengths.
    "a length with a plus": _sized(b"+" + _LENGTH),
    "a length with a space": _sized(_LENGTH + b" 0"),
    "a length in hexadecimal": _sized(b"0x%x" % len(BODY)),
    "a length with an underscore": _sized(_LENGTH[:1] + b"_" + _LENGTH[1:]),
    "a length with a fraction": _sized(_LENGTH + b".0"),
    "a length that wraps": _sized(b"%d" % ((1 << 64) + len(BODY))),
    "an empty length": _sized(b""),
    # Sizes of chunks.
    "a chunk in hexadecimal, said so": _first_chunk(b"0x<size>\r\n"),
    "a chunk with a plus": _first_chunk(b"+<size>\r\n"),
    "a chunk below zero": _first_chunk(b"-<size>\r\n"),
    "a chunk behind a space": _first_chunk(b" <size>\r\n"),
    "a chunk with an underscore": _first_chunk(b"0_<size>\r\n"),
    "a chunk that wraps": _first_chunk(b"1%016x\r\n" % len(BODY)),
    "a chunk before a bare LF": _first_chunk(b"<size>\n"),
    "a chunk before a bare CR": _first_chunk(b"<size>\r"),
    "a chunk's extension with a bare LF": _first_chunk(b"<size>;\nx\r\n"),
    "a chunk's extension with a bare CR": _first_chunk(b"<size>;\rx\r\n"),
    "a chunk without a size": _first_chunk(b"\r\n"),
    # In what is a body to everyone who reads strictly.
    "an end in the data": _in_chunk(b"0\r\n\r\n"),
    "an end in the data, by bare LF": _in_chunk(b"\n0\n\n"),
    "a chunk longer than it says": _in_chunk(b"", b"0\r\n\r\n"),
    "a last chunk by bare LF": _in_chunk(b"", b"\n0\n\n"),
    "a body of a GET": _body(b"", _line(b"GET", PATH.encode())),
    "a body of a HEAD": _body(b"", _line(b"HEAD", PATH.encode())),
    "a body of an OPTIONS": _body(b"", _line(b"OPTIONS", b"*")),
    "a body on an unknown path": _body(b"", _line(b"POST", b"/unknown")),
    "a body without a signature": _body(b"", f"POST {PATH} HTTP/1.1\r\nHost: relay\r\n".encode()),
    "a body with a wrong signature": _body(b""),
    "a body that is encoded": _body(b"Content-Encoding: gzip\r\n"),
    "a body that is expected": _body(b"Expect: 100-continue\r\n"),
    "a body of an upgrade": _body(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "a body that follows an upgrade to HTTP/2": _body(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
    "a body of HTTP/1.0": _body(b"", HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")),
    "a body before its head is over": lambda hidden: HEAD + b"X: 1\r\n" + hidden.replace(b"\r\n", b"\n"),
    # In the head.
    "a head in a header's value": lambda hidden: HEAD + b"X: " + hidden.replace(b"\r\n", b"\r") + b"\r\n\r\n",
    "a head of bare CR": lambda hidden: HEAD.replace(b"\r\n", b"\r") + b"\r\r" + hidden,
    "a body of HTTP/0.9": lambda hidden: f"POST {PATH}\r\n".encode() + hidden,
}


def hidden_delivery(name: str) -> tuple[bytes, bytes]:
    """Give what is hidden, and its body: a delivery with a right signature, by its id."""
    body = event(event_id=name)
    return request(body, signed(body)), body
