"""One HTTP request to Syskit Point or to Entra ID: bounded in time and size, never led elsewhere.

A request that only reads is tried `ATTEMPTS` times in all, with full jitter between; one that changes
something once, since nobody knows what became of it. A timeout is not tried again, as it has taken its
time already. All longer waiting is the caller's, by its own interval.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from relay.config.url import is_loopback, shown
from relay.point.address import PrivateAddressError, any_socket, public_socket
from relay.point.failure import PointError

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPTS = 3
MAX_ANSWER = 256 * 1024
TIMEOUT = 10.0
MAX_RETRY_AFTER = 3600.0

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading an answer's JSON may raise, whatever the answer is."""

_PAUSE = 0.25
_MAX_PAUSE = 2.0
_BUSY = 429
_SUCCESS = range(200, 300)
_REDIRECTS = range(300, 400)
_BROKEN = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: with a form or JSON as its body, or none. It is printed without what may be secret.

    With `status_only` nothing of a success is read but its status.
    """

    method: str
    url: str
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: object = field(default=None, repr=False)
    status_only: bool = False

    def __str__(self) -> str:
        return f"{self.method} {shown(self.url)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the whole body, and for how many seconds to stay away, if it said so."""

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None

    @property
    def passing(self) -> bool:
        """Tell whether the same request may well be answered otherwise later."""
        return self.status == _BUSY or self.status >= _BROKEN


class Wire:
    """The connections to the API and the authority; an asynchronous context manager."""

    def __init__(self, *, allow_private: bool, timeout: float = TIMEOUT) -> None:
        """Open nothing yet. `timeout` is in seconds, for a whole request."""
        self._socket = any_socket if allow_private else public_socket
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._away: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        # No cookies, no proxy of the environment, and nothing unpacked: a small answer must not become a large one.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._socket, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            auto_decompress=False,
            middlewares=(_once,),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "syskit-point-relay"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(self, request: Request, *, attempts: int = 1) -> Answer:
        """Send a request and give the answer, whatever its status save a redirect; raises `PointError`."""
        self._check(request)
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            asked = 0.0
            try:
                answer = await self._send(request)
            except TimeoutError:
                why = f"{request}: no whole answer within {self._timeout:g} s; it is asked again later"
                raise PointError(why, curable=True) from None
            except (aiohttp.ClientError, OSError) as error:
                if last or _hopeless(error):
                    raise _unreached(request, error) from error
            else:
                asked = self._heed(request, answer)
                if last or not answer.passing or asked > _MAX_PAUSE:
                    return answer
            await asyncio.sleep(max(asked, random.uniform(0, _PAUSE * 2**attempt)))  # noqa: S311 - no secret
        raise AssertionError("the last attempt answers or raises")

    async def _send(self, request: Request) -> Answer:
        """Send a request once, and read what comes back up to the bound."""
        if self._session is None:
            raise AssertionError("the session is open inside the context only")
        sent = self._session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.form,
            json=request.json,
            allow_redirects=False,
        )
        async with sent as response:
            if response.status in _REDIRECTS:
                to = _host(request.url, response.headers.get("Location", ""))
                why = f"a redirect ({response.status}) to {to!r:.80} is not followed, as it would take the token along"
                raise PointError(f"{request}: {why}; set the URL to where the API is")
            if request.status_only and response.status in _SUCCESS:
                response.close()
                return Answer(response.status, b"", None)
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER:
                    response.close()
                    why = f"the answer is larger than {MAX_ANSWER >> 10} KiB; check that the URL is the API's"
                    raise PointError(f"{request}: {why}")
            return Answer(response.status, bytes(body), _seconds(response.headers.get("Retry-After")))

    def _check(self, request: Request) -> None:
        """Let nothing out in the clear, and nobody be asked who wants to be left alone."""
        parts = urlsplit(request.url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise PointError(
                f"{request}: must be https, as a secret is sent there; http is only for this machine itself"
            )
        left = self._away.get(parts.netloc, 0.0) - time.monotonic()
        if left > 0:
            why = f"{request}: not asked, as {parts.hostname} wants to be left alone for {left:.0f} s more"
            raise PointError(why, curable=True, retry_after=left)

    def _heed(self, request: Request, answer: Answer) -> float:
        """Remember for how long to stay away, and give it in seconds."""
        if not answer.passing or not answer.retry_after:
            return 0.0
        self._away[urlsplit(request.url).netloc] = time.monotonic() + answer.retry_after
        return answer.retry_after


class _CutError(aiohttp.ClientError):
    """A connection ended before the answer was whole."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request one time only: aiohttp would repeat a GET or DELETE by itself after these two errors."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _CutError(str(error)) from error


def _host(url: str, location: str) -> str:
    """Give the host that a redirect leads to, which is the same one when only a path is named."""
    try:
        return (location and urlsplit(urljoin(url, location)).hostname) or "nowhere"
    except ValueError:
        return "nowhere"


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After, which is a number of seconds or a date (RFC 9110, 10.2.3); nonsense is none."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    left = (date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(left.total_seconds(), 0.0), MAX_RETRY_AFTER)


def _hopeless(error: Exception) -> bool:
    """Tell whether a failure to connect is sure to be repeated."""
    return isinstance(error, aiohttp.ClientConnectorCertificateError) or isinstance(
        getattr(error, "os_error", error), PrivateAddressError
    )


def _unreached(request: Request, error: Exception) -> PointError:
    """Say why there was no answer."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, PrivateAddressError):
        why = "its address is private, so it is not called; if that is meant, set allow_private: true"
        return PointError(f"{request}: {why}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return PointError(f"{request}: its certificate is not trusted; check the URL, or install the authority's root")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return PointError(f"{request}: the host name does not resolve; check the URL and the DNS", curable=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        why = getattr(cause, "strerror", None) or type(cause).__name__
        return PointError(f"{request}: no connection ({why}); check the URL, the network and firewalls", curable=True)
    why = "no whole HTTP answer came; check that the URL is the API's; it is asked again later"
    return PointError(f"{request}: {why}", curable=True)
