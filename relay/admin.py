"""The admin listener: liveness, readiness and metrics, for probes and scrapers; and changes, for operators.

    GET /livez                200 while the event loop turns; asks nobody
    GET /readyz               200 exactly while a delivery can be stored, else 503
    GET /readyz?verbose       one line a check: [+] well, [!] warns, [-] failed; also as JSON
    GET /metrics              Prometheus text, or OpenMetrics for who accepts it

    POST /deliveries/replay   replays deliveries, or says what that would do; JSON in and out, as `relay.changes` has it
    POST /deliveries/discard  gives dead letters up
    GET /rejected             the requests that were refused lately, as JSON; with `?id=` one of them
    POST /keys/list           tells the keys by their fingerprints; also after /keys/fetch and /keys/retire

JSON is for `Accept: application/json` or `format=json`. None of those asks for a token or touches Kafka; these want
`Authorization: Bearer <token>` when one is configured, and never serve a page of a browser: without a token they
answer only who asks for a loopback name, and changes in any case only `Content-Type: application/json`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from aiohttp import web

from relay.changes import PAGES
from relay.core.errors import Unavailable
from relay.health import Check, State, is_ready
from relay.keys import KEY_PAGES, Fetching, Listing, Retiring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from relay.changes import Asked, Change
    from relay.config import Secret
    from relay.keys import KeyRow, KeysAsked
    from relay.metrics import Metrics

log = structlog.get_logger()

IDLE_TIMEOUT = 30.0
LINGERING_TIME = 1.0
STOP_TIMEOUT = 2.0
MAX_LINE = 2048
MAX_HEADERS = 64
MAX_BODY = 65_536
BODY_TIMEOUT = 10.0
ASKED = {**PAGES, **KEY_PAGES}
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Listen(Protocol):
    """Where to listen, as the configuration's `admin` says."""

    @property
    def host(self) -> str:
        """The address or name to bind."""

    @property
    def port(self) -> int:
        """The port to bind; 0 takes any that is free."""

    @property
    def token(self) -> Secret | None:
        """What changes are asked with; None when nothing is."""


class Page(Protocol):
    """Gives what a guarded page shows."""

    def __call__(self, query: Mapping[str, str], /) -> bytes | None:
        """Give JSON for a query, None when what it asks for is not there."""


class Request(web.BaseRequest):
    """A request whose answer does not tell the versions of Python and aiohttp, not even one the parser refused."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.popall("Server", None)
        response.headers["Cache-Control"] = "no-store"


class Admin:
    """Answers on the admin port from `start` to `stop`.

    `checks` is asked at every `/readyz`; it must not block. Should it raise, the relay is not ready.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it asks
        self,
        listen: Listen,
        checks: Callable[[], Sequence[Check]],
        metrics: Metrics,
        change: Callable[[Asked], Awaitable[Sequence[Change]]],
        tell_keys: Callable[[KeysAsked], Awaitable[Sequence[KeyRow]]],
        guarded: Mapping[str, Page] = MappingProxyType({}),
    ) -> None:
        """Keep what to ask; nothing is bound yet.

        `change` and `tell_keys` raise `Unavailable`. `guarded` are the pages that want the token, by path.
        """
        self._listen = listen
        self._checks = checks
        self._metrics = metrics
        self._change_deliveries = change
        self._guarded = guarded
        self._tell_keys = tell_keys
        self._pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics_page}
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port that is bound; RuntimeError when not started."""
        if self._runner is None:
            raise RuntimeError("the admin listener is not started")
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Bind and answer; OSError when the address cannot be bound."""
        server = web.Server(
            self._answer,
            request_factory=lambda message, payload, protocol, writer, task: Request(
                message, payload, protocol, writer, task, task.get_loop(), client_max_size=MAX_BODY
            ),
            access_log=None,
            keepalive_timeout=IDLE_TIMEOUT,
            lingering_time=LINGERING_TIME,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        runner = web.ServerRunner(server, shutdown_timeout=STOP_TIMEOUT)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._listen.host, self._listen.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close the port and every connection, within `STOP_TIMEOUT`; may be called again, and before `start`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        page, asked = self._pages.get(request.path), ASKED.get(request.path)
        guarded = self._guarded.get(request.path)
        allowed = ("POST",) if asked else ("GET", "HEAD")
        if page is None and asked is None and guarded is None:
            return _text(404, f"not found; there are {', '.join([*self._pages, *ASKED, *self._guarded])}")
        if request.method not in allowed:
            response = _text(405, f"method not allowed; use {allowed[0]}")
            response.headers["Allow"] = ", ".join(allowed)
            return response
        if guarded:
            return self._stranger(request) or _shown(guarded(request.query))
        return page(request) if page else await self._change(request, asked)

    async def _change(self, request: web.BaseRequest, kind: type[Asked | KeysAsked] | None) -> web.Response:
        """Read what is asked for and do it; 400, 401, 403, 408, 413 or 415 when it may not or cannot be read."""
        if refusal := self._refusal(request):
            return refusal
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
            done = await self._make(msgspec.json.decode(body, type=kind))
        except TimeoutError:
            return _text(408, "the body took too long")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _text(400, f"the body is not what is asked here: {error}")
        except Unavailable as error:
            return _text(503, str(error))
        return web.Response(body=msgspec.json.encode(done), headers={"Content-Type": JSON})

    async def _make(self, asked: Asked | KeysAsked) -> Sequence[Change | KeyRow]:
        if isinstance(asked, Listing | Fetching | Retiring):
            return await self._tell_keys(asked)
        return await self._change_deliveries(asked)

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Refuse who may not ask for a change."""
        if refusal := self._stranger(request):
            return refusal
        return None if request.content_type == JSON else _text(415, f"changes are asked for as {JSON}")

    def _stranger(self, request: web.BaseRequest) -> web.Response | None:
        """Refuse who has no token; and a browser, in which a stranger's page would ask in its user's name."""
        token, given = self._listen.token, request.headers.get("Authorization", "")
        host, own = request.host.rpartition(":")[0] or request.host, self._listen.host
        if token is None and host not in {*LOOPBACK, own, f"[{own}]"}:
            return _text(403, "without admin.token_file this is for this machine alone: ask for 127.0.0.1")
        if token is not None and not hmac.compare_digest(
            given.encode(errors="replace"), f"Bearer {token.reveal()}".encode()
        ):
            return _text(401, "this wants the token of admin.token_file, as Authorization: Bearer <token>")
        return None

    def _livez(self, _request: web.BaseRequest) -> web.Response:
        return _text(200, "alive")

    def _readyz(self, request: web.BaseRequest) -> web.Response:
        checks = self._read_checks()
        ready = is_ready(checks)
        status = 200 if ready else 503
        if request.query.get("format") == "json" or JSON in request.headers.get("Accept", ""):
            body = json.dumps({"ready": ready, "checks": [dataclasses.asdict(check) for check in checks]})
            return web.Response(status=status, body=body.encode(), headers={"Content-Type": JSON})
        if "verbose" in request.query:
            return _text(status, "\n".join(map(str, checks)) or "ready")
        failed = ", ".join(check.name for check in checks if check.stops)
        return _text(status, "ready" if ready else f"not ready: {failed}")

    def _read_checks(self) -> Sequence[Check]:
        try:
            return self._checks()
        except Exception:
            log.exception("checks.unread")
            return (Check("checks", State.FAIL, "could not be read; the log says why"),)

    def _metrics_page(self, request: web.BaseRequest) -> web.Response:
        open_metrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        body = self._metrics.render(open_metrics=open_metrics)
        return web.Response(body=body, headers={"Content-Type": OPEN_METRICS if open_metrics else PROMETHEUS})


def _shown(body: bytes | None) -> web.Response:
    if body is None:
        return _text(404, "not found: it is not there, or no more")
    return web.Response(body=body, headers={"Content-Type": JSON})


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=f"{text}\n".encode("utf-8", "replace"), headers={"Content-Type": TEXT})
