"""Listener: the ingest listener. It reads requests within their bounds, and hands them to `Ingest`."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiohttp import HttpVersion11

from relay.core.bucket import Buckets
from relay.core.errors import Cause, Refusal, Rejected, Unavailable
from relay.core.signature import check_shape
from relay.ingest import TOO_MANY, Headers
from relay.keys import NOBODY
from relay.server import answer
from relay.server.bodies import Bodies
from relay.server.door import Door
from relay.server.queue import Queue
from relay.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.config import Listen
    from relay.core.model import Receipt, Source
    from relay.ingest import Ingest
    from relay.metrics import Metrics
    from relay.rejected import Rejections
    from relay.server.answer import Answer
    from relay.server.request import Request

log = structlog.get_logger()

CLEANUP_TIMEOUT = 1.0
FIRST_BYTES = 0.05  # seconds in which one who was accepted last has begun a request, or has none yet
ACCEPTED = 32  # connections accepted in one turn of the loop, asyncio's meaning of a backlog
BACKLOG = 1024  # those that the kernel keeps until then
TOLD_A_SECOND = 10  # lines of one reason and source, as a flood must cost little; all are counted
TOLD_OF = 4096
SPARE_TIME = 1.0
UNREAD = frozenset({Refusal.REPEATED_SIGNATURE, Refusal.MALFORMED_SIGNATURE})
"""What is refused before the body is read, and can be explained with it alone."""
AT_THE_DOOR = UNREAD | {Refusal.MISSING_SIGNATURE, Refusal.BAD_QUERY}
"""What is counted here, by network: signatures that fit no key `Ingest` has counted, by source and network."""
FULL = Unavailable(TOO_MANY, busy=True)
TURNED_AWAY = answer.unavailable(FULL)


class Listener:
    """Answers senders from `start` to `stop`. Never a 3xx, and never a 5xx but 503."""

    def __init__(
        self, listen: Listen, sources: Sequence[Source], ingest: Ingest, metrics: Metrics, rejections: Rejections
    ) -> None:
        """Keep what to serve; nothing is bound yet."""
        self._listen = listen
        self._sources: Mapping[str, Source] = {source.path: source for source in sources}
        self._ingest = ingest
        self._metrics = metrics
        self._server: Server | None = None
        self._accepting: asyncio.Server | None = None
        self._rejections = rejections
        self._door = Door(listen)
        self._bodies = Bodies(listen.max_body, listen.body_timeout)
        self._may_tell = Buckets(TOLD_A_SECOND, TOLD_A_SECOND, TOLD_OF).take
        self._queue = Queue()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.in_flight = 0
        self.draining = False

    @property
    def port(self) -> int:
        """The port that is bound; RuntimeError when none is."""
        if self._accepting is None:
            raise RuntimeError("the ingest listener does not listen")
        return int(self._accepting.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Bind and answer. Raises OSError when the address cannot be bound."""
        server = Server(self._handle, self._listen, refuse=self._refuse_head, turn_away=self._turn_away)
        host, port = self._listen.host, self._listen.port
        self._accepting = await asyncio.get_running_loop().create_server(server, host, port, backlog=ACCEPTED)
        for listening in self._accepting.sockets:
            with listening.dup() as same:
                same.listen(BACKLOG)
        self._server = server

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - leaves quietly when it is over
        """Take no new connections, and wait until every request under way is answered, or the time is over.

        Closing at once would throw away bodies that are still arriving.
        """
        self.draining = True
        await self._accept_no_more()
        try:
            async with asyncio.timeout(timeout):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("relay.draining", unanswered=self.in_flight)

    async def stop(self) -> None:
        """Close every connection."""
        await self._accept_no_more()
        if self._server:
            self._server.pre_shutdown()
            await self._server.shutdown(CLEANUP_TIMEOUT)

    async def _accept_no_more(self) -> None:
        """Close what listens, and let those who were accepted last begin: they would be cut off in mid-request.

        Before it is closed it is left unwatched: asyncio forgets, without closing it, a connection that was accepted
        in the same turn of the loop (python/cpython#109564), and its sender waits for ever.
        """
        accepting, self._accepting = self._accepting, None
        if accepting is None:
            return
        for listening in accepting.sockets:
            asyncio.get_running_loop().remove_reader(listening)
        await asyncio.sleep(FIRST_BYTES)
        accepting.close()

    async def _handle(self, request: Request) -> Answer:
        """Answer one request: the path of a delivery, and where a fate is met, its answer. Raises nothing."""
        started = time.perf_counter()
        self.in_flight += 1
        self._quiet.clear()
        source = self._sources.get(request.path)
        try:
            try:
                await self._queue.turn()
                receipt = await self._receive(source, request)
                status, given = receipt.status, answer.accepted(receipt)
            except Rejected as fate:
                status, given = "rejected", await self._reject(source, request, fate)
        except Unavailable as fate:
            self._tell_unavailable(source, fate)
            status, given = "unavailable", answer.unavailable(fate)
        except Exception as error:  # noqa: BLE001 - a fault of ours is told to the log, and to the sender as 503
            unexpected = Unavailable(f"unexpected: {error!r}")
            self._tell_unavailable(source, unexpected, error)
            status, given = "unavailable", answer.unavailable(unexpected)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._quiet.set()
        self._metrics.answered(status, time.perf_counter() - started)
        return given._replace(close=given.close or self.draining)

    async def _receive(self, source: Source | None, request: Request) -> Receipt:
        """Read the body within its bounds, then store it and wait for the receipt.

        A body is read only for who shows what may be a signature: strangers cannot keep out who has a key.
        """
        if request.method != "POST":
            raise Rejected(Refusal.METHOD)
        # As much work for a path that does not exist: how long it takes must not tell which paths do.
        named = source or NOBODY
        self._door.check(named, request)
        headers = self._headers(named, request)
        self._check_framing(request)
        check_shape(headers.signatures)
        body = await self._read(request)
        try:
            return await self._ingest.receive(named, headers, body)
        except Rejected as fate:
            fate.body = body if source else None  # nobody's sender is to be helped
            raise

    def _check_framing(self, request: Request) -> None:
        """Refuse by its head a body that is not as it was signed, or too large. Raises `Rejected`."""
        headers = request.headers
        if "Content-Encoding" in headers:
            codings = [coding.lower() for coding in headers.getall("Content-Encoding")]
            if codings != ["identity"]:
                raise Rejected(Refusal.ENCODED_BODY)
        if "Transfer-Encoding" in headers:
            framings = [framing.lower() for framing in headers.getall("Transfer-Encoding")]
            if framings != ["chunked"]:
                raise Rejected(Refusal.UNREADABLE_REQUEST)  # a proxy in front might frame it in another way
        elif int(headers.get("Content-Length", 0)) > self._listen.max_body:
            raise Rejected(Refusal.BODY_TOO_LARGE)

    async def _read(self, request: Request) -> bytes:
        """Read the body, asking for it when the sender waits to be asked. Raises `Rejected`."""
        waits = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
        if waits and request.connection.transport:
            request.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._bodies.read(request.content)
        if request.connection.cut_short:
            raise Rejected(Refusal.BODY_INCOMPLETE)
        return body

    def _refuse_head(self, status: int) -> Answer:
        self._metrics.rejected(None, Refusal.UNREADABLE_REQUEST)
        if self._may_tell((None, Refusal.UNREADABLE_REQUEST), time.monotonic()):
            log.info("delivery.rejected", reason=Refusal.UNREADABLE_REQUEST, status=status)
        return answer.unreadable(status)

    def _turn_away(self, path: str) -> Answer | None:
        """Count and tell a request for which there is no place, and give its answer; None when there is."""
        if not self._ingest.is_full:
            return None
        self._tell_unavailable(self._sources.get(path), FULL)
        self._metrics.answered("unavailable", 0.0)
        return TURNED_AWAY._replace(close=True) if self.draining else TURNED_AWAY

    async def _reject(self, source: Source | None, request: Request, fate: Rejected) -> Answer:
        """Count and tell a refusal, and give its answer; of an unknown path only that it is unknown."""
        refusal = fate.refusal if source else Refusal.UNKNOWN_PATH
        if refusal in AT_THE_DOOR and not self._door.may_fail(request):
            refusal = Refusal.THROTTLED
        name = source.name if source else None
        self._metrics.rejected(name, refusal)
        if refusal is not Refusal.THROTTLED and self._may_tell((name, refusal), time.monotonic()):
            where = {"source": name} if name else {"path": request.path[:200]}
            why = {"detail": fate.detail} if name and fate.detail else {}
            if self._rejections.wants(name):
                body = await self._spare_body(request) if refusal in UNREAD else fate.body
                self._rejections.take(source, refusal, request, self._door.client(request), body, where | why)
            else:
                log.warning("delivery.rejected", **where, reason=refusal, **why)
        return answer.rejected(refusal)

    async def _spare_body(self, request: Request) -> bytes | None:
        """Read, for the doctor, the body of a request that is refused for its head; None when it does not come soon."""
        try:
            async with asyncio.timeout(SPARE_TIME):
                return await self._read(request)
        except (Rejected, TimeoutError):
            return None

    def _headers(self, source: Source, request: Request) -> Headers:
        headers = request.headers
        return Headers(
            signatures=headers.getall("Signature", ()),
            algorithms=headers.getall("Algorithm", ()),
            traceparent=headers.get("traceparent"),
            may_misfit=partial(self._door.may_misfit, source, request),
        )

    def _tell_unavailable(self, source: Source | None, fate: Unavailable, fault: Exception | None = None) -> None:
        cause = Cause.STOPPING if self.draining else fate.cause
        self._metrics.unavailable(cause)
        name = source.name if source else None
        if self._may_tell((name, cause), time.monotonic()):
            log.error("delivery.unavailable", source=name, cause=cause, detail=str(fate), exc_info=fault)
