"""Connection: one client's HTTP/1.1, by aiohttp's parser and flow control, with the limits they lack.

aiohttp's own loop over requests makes a task, a request, a response and a writer for each. Here one task reads
requests in order and writes ready answers, which is a third of the cost. What it uses of `web.RequestHandler`
beside its public face is listed in `PRIVATE`, and a test fails when that changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from relay.server.request import Request

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.web_protocol import _ErrInfo

    from relay.server.answer import Answer
    from relay.server.server import Server

MAX_LINE = 8190
MAX_HEADERS = 128
LINGERING_TIME = 2.0  # seconds an unread body is read and thrown away, so that its sender sees the answer
READING_TIME = 10.0  # seconds a client has to take an answer in before it is given up

PRIVATE = (
    "_messages", "_waiter", "_parser", "_buffer_paused", "_msg_queue_resume_size", "_resume_reading_if_drained",
    "_paused", "_drain_helper", "_force_close", "_close", "_keepalive_handle", "_next_keepalive_close_time",
    "_keepalive_timeout", "_process_keepalive", "_task_handler", "_pause_transport_reading",
    "_resume_transport_reading",
)  # fmt: skip


class Connection(web.RequestHandler):
    """One client's connection, which must send each request's head within `header_timeout`.

    aiohttp has one timeout for an idle connection and none for a head that trickles in, nor for an answer
    that is not read. Requests are answered one after the other, in order.
    """

    __slots__ = ("_body", "_clock", "_deaf", "_half_closed", "_head_due", "_late", "_server", "cut_short")

    def __init__(self, server: Server) -> None:
        """Serve for `server`."""
        self._clock = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._clock,
            keepalive_timeout=server.idle_timeout,
            access_log=None,  # type: ignore[arg-type]  # aiohttp means it: paths may carry a secret in their query
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        self._server = server
        self._deaf = self._half_closed = self.cut_short = False
        self._head_due: float | None = None
        self._late: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes in: start to wait for a further head with its first one, turn away or wake when one is there."""
        if self._deaf:
            return
        if self._body is None and self._head_due is None:
            self._await_head()
        idle, self._waiter = self._waiter, None  # is woken below, if it has anything to do
        try:
            super().data_received(data)
        finally:
            self._waiter = idle
        if self._messages and getattr(self._messages[-1][0], "upgrade", True):
            # The parser could not read it, or it asks for another protocol, which nobody speaks here. What follows
            # is not taken in: the parser would keep each piece with an error of its own.
            self._deaf = True
            self._pause_transport_reading()
        if idle and self._messages and not idle.done() and not self._turned_away():
            idle.set_result(None)

    def _turned_away(self) -> bool:
        """Answer a request that has come whole and alone, while there is no place, before any work is done for it."""
        (message, content), *others = self._messages
        if others or self._paused or not isinstance(message, RawRequestMessage) or not content.is_eof():
            return False
        if message.upgrade or "Transfer-Encoding" in message.headers or self.transport is None:
            return False  # of a framing that may be doubtful somebody else has to make sure
        answer = self._server.turn_away(message.url.raw_path)
        if answer is None:
            return False
        self._take()
        self._body = None
        self._await_idle()
        closing = _ends(message) or answer.close
        self.transport.write(answer.render(closing=closing, bodiless=message.method == "HEAD"))
        if closing:
            self.force_close()
        return True

    def _resume_transport_reading(self) -> None:
        if not self._deaf:
            super()._resume_transport_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own type; aiohttp narrowed it to None
        """Answer what is under way to a client that has only finished sending; then close, or at once without any.

        A body that had more to come ends here, and is `cut_short`.
        """
        self._half_closed = True
        if self._body and not self._body.is_eof():
            self.cut_short = True
            self._body.feed_eof()
        return bool(self._body or self._messages)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting; who reads a body that had more to come hears of it."""
        if self._late:
            self._late.cancel()
            self._late = None
        if self._body and not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("connection lost"))
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Close once what was written is sent, which a client that does not read cannot put off for ever."""
        transport = self.transport
        super().force_close()
        if transport and transport.get_write_buffer_size():
            self._clock.call_later(READING_TIME, transport.abort)

    async def start(self) -> None:
        """Answer requests in order until the connection ends."""
        keep = True
        while keep and not (self._force_close or self._close):
            request = await self._next()
            if request is None:
                break
            keep = await self._serve(request)
            self._body = None
            if self._messages:  # who sends ahead takes turns with the others
                await asyncio.sleep(0)
        self._task_handler = None
        self.force_close()

    async def _next(self) -> Request | None:
        """Wait for a head; None when the parser refused it, which has been answered."""
        if not self._messages:
            if self._half_closed:
                return None
            self._await_idle()
            self._waiter = self._clock.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, content = self._take()
        if not isinstance(message, RawRequestMessage):  # what the parser could not read
            await self._write(self._server.refuse(431 if isinstance(message.exc, LineTooLong) else message.status))
            return None
        if self._half_closed:
            self.eof_received()
        method, url = message.method, message.url
        return Request(method, url.raw_path, url, message.version, message.headers, content, _ends(message), self)

    def _take(self) -> tuple[RawRequestMessage | _ErrInfo, StreamReader]:
        """Take the first head that has come, or what the parser made of it, and let the parser go on."""
        message, content = self._messages.popleft()
        self._body = content  # before the parser goes on, or what it finds would be taken for a head that begins
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        self._head_due = None
        return message, content

    async def _serve(self, request: Request) -> bool:
        """Answer one request; tell whether a further one may follow on this connection."""
        answer = await self._server.handler(request)
        unread = not request.content.is_eof()
        # What was not read is not there to be read as a further request.
        keep = not (request.closes or unread or answer.close)
        await self._write(answer, closing=not keep, bodiless=request.method == "HEAD")
        if unread and not self._force_close:
            await self._linger(request.content)
        return keep

    async def _write(self, answer: Answer, *, closing: bool = True, bodiless: bool = False) -> None:
        """Write an answer; wait, for a bounded time, while the client does not read what it was sent."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(answer.render(closing=closing, bodiless=bodiless))
        if self._paused:
            try:
                async with asyncio.timeout(READING_TIME):
                    await self._drain_helper()
            except (TimeoutError, ConnectionError):
                self.force_close()

    async def _linger(self, content: StreamReader) -> None:
        """Read and throw away what comes of a body, for a bounded time."""
        try:
            async with asyncio.timeout(LINGERING_TIME):
                while not content.is_eof():
                    await content.readany()
        except (TimeoutError, ConnectionError, web.RequestPayloadError):
            return

    def _await_idle(self) -> None:
        """Start the time in which an idle connection may stay open."""
        self._next_keepalive_close_time = self._clock.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._clock.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _await_head(self) -> None:
        """Start the time in which a head must be complete: one timer, which is only looked at when it is over."""
        self._head_due = self._clock.time() + self._server.header_timeout
        if self._late is None:
            self._late = self._clock.call_at(self._head_due, self._look)

    def _look(self) -> None:
        self._late = None
        if self._head_due is None:
            return
        if self._clock.time() >= self._head_due:
            self.force_close()
        else:
            self._late = self._clock.call_at(self._head_due, self._look)


def _ends(message: RawRequestMessage) -> bool:
    """Tell whether the connection ends with the answer, by the request itself."""
    return message.should_close or message.upgrade or message.version < HttpVersion11
