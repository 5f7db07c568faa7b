"""Permits: how many producers may be open at once, served in turn."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Permits:
    """Bounds the open producers (`kafka.max_producers`); lanes that wait for one are served in turn."""

    def __init__(self, count: int) -> None:
        """Allow `count` at once."""
        self._semaphore = asyncio.Semaphore(count)
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Tell whether a lane waits, so that one that has had its turn gives way."""
        return self._waiting > 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one permit."""
        self._waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._semaphore.release()
