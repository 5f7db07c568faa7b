"""Patience: how long whoever waits for Kafka is kept waiting."""

from __future__ import annotations

import asyncio
from collections import deque


class Patience:
    """Lets everybody go who has waited for the same time, in order, with one timer for all of them."""

    def __init__(self, timeout: float) -> None:
        """Let each wait for `timeout` seconds at most."""
        self._timeout = timeout
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def bound(self, waiting: asyncio.Future[None]) -> None:
        """Set a result when the time is over, unless there is one before."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        self._waiting.append((loop.time() + self._timeout, waiting))
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][1].done()):
            _, waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
        self._timer = loop.call_at(self._waiting[0][0], self._look, loop) if self._waiting else None
