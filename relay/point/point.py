"""Syskit Point's API: its signature key, and the endpoints it posts to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from relay.config.url import shown
from relay.point.failure import NotRegistered, PointError
from relay.point.refusal import api_refusal
from relay.point.token import Tokens
from relay.point.wire import ATTEMPTS, TIMEOUT, UNREADABLE, Answer, Request, Wire

if TYPE_CHECKING:
    from relay.config import PointConfig

T = TypeVar("T")

_OPTIONS = "/v1.0/options"
_ENDPOINTS = "/v1.0/webhooks/endpoints"
_GUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SUCCESS = range(200, 300)
_REFUSED = 401
_ABSENT = 404


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registration: where Syskit Point posts, and which types. The query of `url` may hold a secret."""

    url: str
    types: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Endpoint({shown(self.url)!r}, {self.types!r})"


class _Options(msgspec.Struct, rename="camel"):
    webhooks_signature_authentication_key: str


class _Listed(msgspec.Struct):
    endpoint: str
    types: tuple[str, ...]


class Point:
    """The client of one Syskit Point; an asynchronous context manager.

    Every method raises `PointError`. One that reads is tried a few times (`wire.ATTEMPTS`), one that
    changes something once; a token that is refused is renewed once. When to ask again is the caller's.
    """

    def __init__(self, config: PointConfig, *, timeout: float = TIMEOUT) -> None:
        """Connect to nothing yet. `timeout` is in seconds, for each HTTP request."""
        self._url = config.url
        self._wire = Wire(allow_private=config.allow_private, timeout=timeout)
        self._tokens = Tokens(config, self._wire)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._tokens.close()
        await self._wire.__aexit__(*error)

    async def signature_key(self) -> bytes:
        """Give the key that deliveries are signed with: the text of a GUID in UTF-8, as it was answered."""
        key = self._read("GET", _OPTIONS, await self._ask("GET", _OPTIONS), _Options)
        text = key.webhooks_signature_authentication_key
        # A GUID of zeros is what an empty one looks like in .NET, and a key that everybody knows.
        if not _GUID.fullmatch(text) or not text.strip("0-"):
            wrong = "is empty" if not text.strip("0- ") else "is no GUID"
            why = f"the key {wrong}, so it is not used; generate a signature key in Syskit Point's settings"
            raise PointError(f"GET {self._url}{_OPTIONS}: {why}")
        return text.encode()

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """List what is registered, in Syskit Point's order."""
        listed = self._read("GET", _ENDPOINTS, await self._ask("GET", _ENDPOINTS), tuple[_Listed, ...])
        return tuple(Endpoint(each.endpoint, each.types) for each in listed)

    async def register(self, endpoint: Endpoint) -> None:
        """Register an endpoint. What a success says is not read: the vendor shows one that is not JSON."""
        body = {"endpoint": endpoint.url, "types": list(endpoint.types)}
        self._succeed("POST", _ENDPOINTS, await self._ask("POST", _ENDPOINTS, body))

    async def delete(self, url: str) -> None:
        """Delete the registration of a URL; raises `NotRegistered` when there is none."""
        answer = await self._ask("DELETE", _ENDPOINTS, {"endpoint": url})
        if answer.status == _ABSENT:
            what = f"DELETE {self._url}{_ENDPOINTS}: 404: {shown(url)} is not registered"
            raise NotRegistered(f"{what}; if it should be, check that url is the API's, without /v1.0")
        self._succeed("DELETE", _ENDPOINTS, answer)

    async def _ask(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request with a token, and once more with a new one when that is refused."""
        attempts = ATTEMPTS if body is None else 1
        token = await self._tokens.current()
        answer = await self._send(method, path, body, token, attempts)
        if answer.status == _REFUSED:
            self._tokens.forget(token)
            answer = await self._send(method, path, body, await self._tokens.current(), attempts)
        return answer

    async def _send(self, method: str, path: str, body: object, token: str, attempts: int) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        request = Request(method, self._url + path, headers, json=body, status_only=body is not None)
        return await self._wire.ask(request, attempts=attempts)

    def _succeed(self, method: str, path: str, answer: Answer) -> None:
        """Raise what an answer means that is no success."""
        if answer.status not in _SUCCESS:
            raise api_refusal(f"{method} {self._url}{path}", answer)

    def _read(self, method: str, path: str, answer: Answer, kind: type[T]) -> T:
        """Give the answer's JSON as a value; raises `PointError` when it is no such thing."""
        self._succeed(method, path, answer)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except UNREADABLE:
            why = "the answer is not the JSON that was asked for; check that url is the API's, not a page or a proxy"
            raise PointError(f"{method} {self._url}{path}: {why}") from None
