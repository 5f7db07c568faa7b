"""Request: what a connection hands on once a head is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http import HttpVersion
    from multidict import CIMultiDictProxy
    from yarl import URL

    from relay.server.connection import Connection


class Request(NamedTuple):
    """One request whose head is complete: `path` without its query, `content` the body as it comes in.

    `closes` says that the connection ends with its answer, by the request itself.
    """

    method: str
    path: str
    url: URL
    version: HttpVersion
    headers: CIMultiDictProxy[str]
    content: StreamReader
    closes: bool
    connection: Connection
