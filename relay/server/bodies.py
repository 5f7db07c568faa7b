"""Bodies: requests' bodies, read within their bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from relay.core.errors import Refusal, Rejected

if TYPE_CHECKING:
    from aiohttp import StreamReader

BUDGET = 64 << 20


class Bodies:
    """Reads each body within a size and a time, and all of them together within a budget of bytes.

    Nobody is authenticated yet. When what has arrived of bodies that are still under way passes the
    budget, the largest is given up as too slow: who holds bodies back does not keep others from theirs.
    """

    def __init__(self, max_body: int, timeout: float, budget: int = BUDGET) -> None:
        """Bound each body by `max_body` bytes and `timeout` seconds; the budget is at least one body."""
        self._max_body = max_body
        self._timeout = timeout
        self._budget = max(budget, max_body)
        self._arrived: dict[asyncio.Timeout, int] = {}
        self._held = 0

    async def read(self, content: StreamReader) -> bytes:
        """Read one body to its end. Raises `Rejected`."""
        try:
            if content.is_eof():  # it came with the head, as small ones do: there is nothing to wait for
                body = content.read_nowait()
                self._check(len(body))
                return body
            async with asyncio.timeout(self._timeout) as limit:
                return await self._gather(content, limit)
        except TimeoutError:
            raise Rejected(Refusal.BODY_TOO_SLOW) from None
        except (web.RequestPayloadError, ConnectionError):
            raise Rejected(Refusal.BODY_INCOMPLETE) from None

    async def _gather(self, content: StreamReader, limit: asyncio.Timeout) -> bytes:
        chunks = []
        self._arrived[limit] = 0
        try:
            while chunk := await content.readany():
                chunks.append(chunk)
                self._arrived[limit] += len(chunk)
                self._held += len(chunk)
                self._check(self._arrived[limit])
                self._make_room()
        finally:
            self._held -= self._arrived.pop(limit)
        return b"".join(chunks)

    def _check(self, size: int) -> None:
        if size > self._max_body:
            raise Rejected(Refusal.BODY_TOO_LARGE)

    def _make_room(self) -> None:
        """Give up the largest body when all of them together are too much."""
        if self._held > self._budget:
            largest = max(self._arrived, key=self._arrived.__getitem__)
            # It counts no more, though its reader is still to hear of it: another reader must not choose it again.
            self._held -= self._arrived[largest]
            self._arrived[largest] = 0
            largest.reschedule(asyncio.get_running_loop().time())
