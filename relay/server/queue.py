"""Queue: requests that were read begin in order of arrival, some in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

A_TURN = 64
"""Requests that begin in one turn of the loop, ten milliseconds' work: in between, others are read and refused."""


class Queue:
    """Lets requests begin. Used from one event loop.

    Without, an overloaded relay would begin all that have come before it reads, or refuses, the next.
    """

    def __init__(self, is_full: Callable[[int], bool]) -> None:
        """Start with nobody waiting; `is_full` tells whether, with so many who wait, nobody more is to come."""
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_full = is_full
        self._begun = 0

    @property
    def is_full(self) -> bool:
        """Tell whether who comes now is to be turned away."""
        return self._is_full(len(self._waiting))

    async def turn(self) -> None:
        """Wait until this one may begin: at once, when few have begun in this turn of the loop and nobody waits."""
        if self._begun >= A_TURN:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(turn)
            await turn
            return
        if not self._begun:
            self._loop.call_soon(self._next)
        self._begun += 1

    def _next(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited may have been cancelled
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            self._loop.call_soon(self._next)
