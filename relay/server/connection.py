"""Connection: aiohttp's HTTP/1.1 protocol, with the limits it lacks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import StreamReader

MAX_LINE = 8190
MAX_HEADERS = 128
LINGERING_TIME = 2.0  # seconds an unread body is read and thrown away, so that its sender sees the answer


class Connection(web.RequestHandler):
    """One client's connection, which must send each request's head within `header_timeout`.

    aiohttp has one timeout for an idle connection and none for a head that trickles in. Between
    `begin` and `end` of a request there is no head to wait for.
    """

    __slots__ = ("_body", "_busy", "_clock", "_fed", "_half_closed", "_header_timeout", "_late", "_refuse", "cut_short")

    def __init__(
        self,
        server: Server,
        *,
        header_timeout: float,
        idle_timeout: float,
        refuse: Callable[[int], web.Response],
    ) -> None:
        """Serve for `server`; `refuse` makes the answer to what the parser refuses, from its status."""
        self._clock = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._clock,
            keepalive_timeout=idle_timeout,
            access_log=None,  # type: ignore[arg-type]  # aiohttp means it: paths may carry a secret in their query
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=LINGERING_TIME,
        )
        self._header_timeout = header_timeout
        self._refuse = refuse
        self._busy = self._fed = self._half_closed = self.cut_short = False
        self._late: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Start to wait for a further head with its first byte."""
        if not self._busy and self._late is None:
            self._await_head()
        self._fed = True
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own type; aiohttp narrowed it to None
        """Answer what is under way to a client that has only finished sending; then close.

        A body that had more to come ends here, and is `cut_short`.
        """
        self._half_closed = True
        if self._body and not self._body.is_eof():
            self.cut_short = True
            self._body.feed_eof()
        return self._fed

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._expect_no_head()
        super().connection_lost(exc)

    def begin(self, body: StreamReader) -> None:
        """Hear that a request's head is complete, and where its body comes in."""
        self._busy = True
        self._body = body
        if self._half_closed:
            self.eof_received()
        self._expect_no_head()

    def end(self) -> None:
        """Hear that a request's answer is known."""
        self._busy = self._fed = False
        self._body = None
        if self._half_closed:
            self.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's words quote the sender
    ) -> web.StreamResponse:
        """Answer what the parser refused, or a fault of ours, without a word of the sender's or a traceback."""
        if status >= web.HTTPInternalServerError.status_code:
            return super().handle_error(request, status, exc, None)
        return self._refuse(431 if isinstance(exc, LineTooLong) else status)

    def _expect_no_head(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _await_head(self) -> None:
        self._late = self._clock.call_later(self._header_timeout, self.force_close)


class Server(web.Server):
    """Makes a `Connection` for each client.

    aiohttp's own would drop every setting with only a warning when one keyword is wrong.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        header_timeout: float,
        idle_timeout: float,
        refuse: Callable[[int], web.Response],
    ) -> None:
        """Give each request to `handler`; times in seconds."""
        super().__init__(handler, handler_cancellation=False)
        self._header_timeout = header_timeout
        self._idle_timeout = idle_timeout
        self._refuse = refuse

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(
            self, header_timeout=self._header_timeout, idle_timeout=self._idle_timeout, refuse=self._refuse
        )
