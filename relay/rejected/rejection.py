"""Rejection: one request that was refused, as it may be shown: no secret, and nothing that a terminal would obey."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import msgspec

from relay.core.errors import Refusal

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy
    from yarl import URL

PAGE = "/rejected"
"""Where the admin listener of a running relay is asked, with GET; `?id=` for one of them, with its body."""

ID = re.compile(r"r[0-9a-f]{4}-[0-9]{1,18}")
"""What their ids look like: unlike the numbers of deliveries, and others after each start."""

HEADERS = (
    "Signature", "Algorithm", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Expect",
    "User-Agent", "Host", "Via", "X-Forwarded-For",
)  # fmt: skip
"""The headers that are kept: those that explain a refusal. Never one that logs its sender in."""

MAX_VALUES, MAX_VALUE, MAX_PATH = 4, 512, 200


class Head(Protocol):
    """The head of a request."""

    @property
    def path(self) -> str:
        """The path, without the query."""

    @property
    def url(self) -> URL:
        """The whole target."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All headers, as received."""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was refused, at `at` (seconds since the epoch).

    `source` is None when no source has the path. `size` is that of the body in bytes, None when it was not read;
    `body` is there when it is kept. `verdict` is the doctor's, in a sentence. Headers are ASCII, the rest escaped.
    """

    id: str
    at: float
    source: str | None
    path: str
    reason: Refusal
    client: str | None
    headers: tuple[tuple[str, str], ...]
    size: int | None = None
    verdict: str | None = None
    body: bytes | None = None

    def values(self, name: str) -> list[str]:
        """Give the values of a header that is kept, each as it stood."""
        return [value for header, value in self.headers if header == name]

    @property
    def weight(self) -> int:
        """Bytes it takes, near enough."""
        return (
            sum(len(name) + len(value) for name, value in self.headers) + len(self.path) + len(self.body or b"") + 512
        )


def headers_of(headers: CIMultiDictProxy[str]) -> tuple[tuple[str, str], ...]:
    """Give the headers of a request that are kept, and of those only so much."""
    return tuple(
        (name, _ascii(value)[:MAX_VALUE]) for name in HEADERS for value in headers.getall(name, ())[:MAX_VALUES]
    )


def path_of(head: Head) -> str:
    """Give a request's path, and of its query only that there was one."""
    return _ascii(head.path)[:MAX_PATH] + ("?***" if head.url.raw_query_string else "")


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")
