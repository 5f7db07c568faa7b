"""Saved: an HTTP request that somebody has kept, as raw text or as an entry of a HAR file."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import Annotated, NamedTuple

import msgspec

_HEAD = re.compile(rb"(?:[A-Z]+ (\S+) HTTP/[\d.]+\r?\n)((?:[^\r\n]+\r?\n)*)\r?\n", re.ASCII)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n")


class _Header(msgspec.Struct):
    name: str
    value: str


class _Content(msgspec.Struct):
    text: str
    encoding: str | None = None


class _Request(msgspec.Struct):
    url: str
    headers: list[_Header]
    content: _Content = msgspec.field(name="postData")


class _Entry(msgspec.Struct):
    request: _Request


class _Log(msgspec.Struct):
    entries: Annotated[list[_Entry], msgspec.Meta(min_length=1)]


class _Har(msgspec.Struct):
    log: _Log


class UnreadableError(ValueError):
    """What was given is no saved request; the text says what was looked for."""


class Saved(NamedTuple):
    """A request as it was kept: its path and its query, its headers in order, its body byte for byte."""

    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Give the values of a header, each as it stands."""
        return [value for header, value in self.headers if header.lower() == name.lower()]


def read(text: bytes) -> Saved:
    """Read a request, or the last one of a HAR file. Raises `UnreadableError`."""
    if raw := _HEAD.match(text):
        return _raw(raw, text[raw.end() :])
    if har := _har(text):
        return har
    raise UnreadableError(
        "neither a raw HTTP request, which begins as in 'POST /path HTTP/1.1' and has an empty line before its body, "
        "nor an entry of a HAR file"
    )


def _raw(head: re.Match[bytes], rest: bytes) -> Saved:
    lines = [line.partition(b":") for line in head[2].splitlines()]
    headers = tuple((name.decode("latin-1").strip(), value.decode("latin-1").strip()) for name, _, value in lines)
    saved = Saved(*_target(head[1].decode("latin-1")), headers, rest)
    if [value.lower() for value in saved.values("Transfer-Encoding")] == ["chunked"]:
        return saved._replace(body=_joined(rest))
    for length in saved.values("Content-Length"):
        if length.isdecimal() and int(length) < len(rest):
            return saved._replace(body=rest[: int(length)])  # an editor ends its files in a newline
    return saved


def _joined(chunks: bytes) -> bytes:
    """Put a chunked body together; one that was saved in one piece already is left as it is."""
    body, at = b"", 0
    while chunk := _CHUNK.match(chunks, at):
        size = int(chunk[1], 16)
        body += chunks[chunk.end() : chunk.end() + size]
        at = chunk.end() + size + 2
        if size == 0:
            return body
    return chunks


def _har(text: bytes) -> Saved | None:
    """Read a HAR file, an entry of one, or the request of an entry; None when it is none of them."""
    request: _Request | None = None
    with suppress(ValueError):
        request = msgspec.json.decode(text, type=_Har).log.entries[-1].request
    with suppress(ValueError):
        request = msgspec.json.decode(text, type=_Entry).request
    with suppress(ValueError):
        request = msgspec.json.decode(text, type=_Request)
    if request is None:
        return None
    content = request.content
    with suppress(ValueError):
        body = base64.b64decode(content.text, validate=True) if content.encoding == "base64" else content.text.encode()
        headers = tuple((header.name, header.value) for header in request.headers)
        return Saved(*_target(request.url), headers, body)
    return None


def _target(url: str) -> tuple[str, str]:
    """Give the path and the query of a request's target; the query may hold a secret, and is never shown."""
    path, _, query = url.partition("#")[0].partition("?")
    return re.sub(r"^[a-z]+://[^/]*", "", path, flags=re.IGNORECASE) or "/", query
