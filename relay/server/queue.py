"""Queue: requests that were read begin in order of arrival, some in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

A_TURN = 64
"""Requests that begin in one turn of the loop, ten milliseconds' work: in between, others are read and refused."""


class Queue:
    """Lets requests begin. Used from one event loop.

    Without, an overloaded relay would begin all that have come before it reads, or refuses, the next.
    """

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = 0

    def __len__(self) -> int:
        """Count those who wait to begin."""
        return len(self._waiting)

    async def turn(self) -> None:
        """Wait until this one may begin: at once, when few have begun in this turn of the loop and nobody waits."""
        loop = asyncio.get_running_loop()
        if self._begun >= A_TURN:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            await turn
            return
        if not self._begun:
            loop.call_soon(self._next)
        self._begun += 1

    def _next(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited may have been cancelled
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next)
