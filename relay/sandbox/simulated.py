"""SimulatedPoint: Syskit Point's API and deliveries, with Entra ID beside it, as one HTTP server on loopback.

What it answers is the vendor's documentation; what is not documented is as unhelpful as it may be: a
delivery is sent once and never again, a rotated key is the only one from then on, and the answer to a
registration is not JSON.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

import aiohttp
from aiohttp import web

from relay.config import FetchKey, PointConfig, Register, Secret
from relay.core.model import Key
from relay.core.signature import fingerprint, sign
from relay.sandbox.authority import CLIENT_ID, SCOPE, TENANT, SimulatedAuthority
from relay.sandbox.faults import api_error
from relay.sandbox.sender import ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.core.model import Source
    from relay.sandbox.faults import Fault

HOST = "127.0.0.1"
ANY = "*"
TYPES = ("ProvisioningStarted", "ProvisioningCompleted", "ProvisioningFailed")
TIMEOUT = 10.0


class Part(enum.StrEnum):
    """What can be asked, and be at fault by itself."""

    TOKEN = "token"  # noqa: S105 - a name
    OPTIONS = "options"
    LIST = "list"
    REGISTER = "register"
    DELETE = "delete"


class Habit(enum.Enum):
    """What an API may do that is not documented: lists `*` as all types, lists URLs in lower case, keeps old types."""

    EXPANDS = enum.auto()
    LOWERS = enum.auto()
    KEEPS = enum.auto()


class Sent(NamedTuple):
    """A delivery that was sent: where, under which key, and the status of the answer, None without one."""

    url: str
    body: bytes
    key_id: str
    status: int | None


class SimulatedPoint:
    """A Syskit Point that is there while the asynchronous context manager is open, on a free port.

    `endpoints` has the types by URL; who changes it does so behind the relay's back. `asked` counts the
    requests by part, `led` those that followed a redirect, and `sent` has the deliveries in order of their answers.
    `habits` may be added to and taken from at any time.
    """

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        """Begin with a new key, a new secret and nothing registered; `timeout` is a delivery's, in seconds."""
        self.authority = SimulatedAuthority(secret=f"secret-{uuid4()}", assertion=f"assertion.{uuid4()}.signed")
        self.key = str(uuid4())
        self.endpoints: dict[str, tuple[str, ...]] = {}
        self.asked: Counter[Part] = Counter()
        self.habits: set[Habit] = set()
        self.led = 0
        self.sent: list[Sent] = []
        self.url = ""
        self._faults: dict[Part, tuple[Fault, int | None]] = {}
        self._timeout = timeout
        application = web.Application()
        application.router.add_post("/{tenant}/oauth2/v2.0/token", self._behind(Part.TOKEN, self.authority.token))
        application.router.add_get("/v1.0/options", self._behind(Part.OPTIONS, self._options))
        application.router.add_get("/v1.0/webhooks/endpoints", self._behind(Part.LIST, self._list))
        application.router.add_post("/v1.0/webhooks/endpoints", self._behind(Part.REGISTER, self._register))
        application.router.add_delete("/v1.0/webhooks/endpoints", self._behind(Part.DELETE, self._delete))
        application.router.add_route("*", "/elsewhere", self._elsewhere)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
        await self._runner.cleanup()

    def config(self, *, fetch_key: FetchKey | None = None, register: Register | None = None) -> PointConfig:
        """Give what an operator of a relay would write to use it, with the client secret."""
        return PointConfig(
            self.url,
            TENANT,
            CLIENT_ID,
            SCOPE,
            Secret(self.authority.secret),
            authority=self.url,
            allow_private=True,
            fetch_key=fetch_key,
            register=register,
        )

    @property
    def key_id(self) -> str:
        """The fingerprint of the key of now."""
        return fingerprint(self.key.encode())

    def rotate(self) -> str:
        """Make a new key, which signs everything from now on, and give it."""
        self.key = str(uuid4())
        return self.key

    def switch(self, part: Part, fault: Fault, times: int | None = None) -> None:
        """Let a part be at fault for so many requests, or until it is healed."""
        self._faults[part] = fault, times

    def heal(self) -> None:
        """Let everything be right again."""
        self._faults.clear()

    def signing(self, source: Source) -> Source:
        """Give a source that signs with the key of now, for what is made by hand."""
        return replace(source, keys=(Key(self.key_id, self.key.encode()),))

    async def deliver(self, kind: str, body: bytes) -> None:
        """Post a body of a type to every endpoint that is registered for it: once, whatever comes of it."""
        for url, types in tuple(self.endpoints.items()):
            if ANY in types or kind in types:
                key_id, signature = self.key_id, sign(self.key.encode(), body)
                headers = {"Content-Type": "application/json", "Signature": signature, "Algorithm": ALGORITHM}
                self.sent.append(Sent(url, body, key_id, await self._post(url, headers, body)))

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> int | None:
        if self._session is None:
            raise AssertionError("deliveries are sent inside the context only")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return None

    def _behind(
        self, part: Part, right: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Put counting, faults and the check of the token before the right answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked[part] += 1
            fault, times = self._faults.get(part, (None, None))
            if fault:
                if times is not None:
                    self._faults[part] = fault, times - 1
                    if times == 1:
                        del self._faults[part]
                return await fault(request)
            if part is not Part.TOKEN and not self.authority.knows(request.headers.get("Authorization")):
                return api_error(401, "Authorization has been denied for this request.")
            return await right(request)

        return answer

    async def _options(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"webhooksSignatureAuthenticationKey": self.key})

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        listed = [{"endpoint": self._written(url), "types": self._told(types)} for url, types in self.endpoints.items()]
        return web.json_response(listed)

    def _written(self, url: str) -> str:
        return url.lower() if Habit.LOWERS in self.habits else url

    def _told(self, types: tuple[str, ...]) -> tuple[str, ...]:
        return TYPES if Habit.EXPANDS in self.habits and ANY in types else types

    async def _register(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if Habit.KEEPS not in self.habits or asked["endpoint"] not in self.endpoints:
            self.endpoints[asked["endpoint"]] = tuple(asked["types"])
        return web.Response(text=f"Endpoint registered: {asked['endpoint']}")

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        known = [url for url in self.endpoints if self._written(url) == self._written(asked["endpoint"])]
        if not known:
            return api_error(404, "The webhook endpoint does not exist.")
        for url in known:
            del self.endpoints[url]
        return web.Response(status=204)

    async def _elsewhere(self, _request: web.Request) -> web.StreamResponse:
        self.led += 1
        return await self._options(_request)
