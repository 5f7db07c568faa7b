"""Permits: how many producers may be open at once, served in turn."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Permit:
    """Leave to have one producer open; `troubled` when the lane that asked for it is in trouble."""

    def __init__(self, permits: Permits, *, troubled: bool) -> None:
        """Ask for it; `granted` tells when."""
        self._permits = permits
        self.troubled = troubled
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def wanted(self) -> bool:
        """Tell whether a lane waits that would get this one, so that who has had its turn gives way."""
        return self._permits.wanted(self)


class Permits:
    """Bounds the open producers (`kafka.max_producers`); lanes that wait for one are served in turn.

    Lanes in trouble have half of them at most (one, if there is but one), and are passed over meanwhile: lanes that
    are well never wait for what Kafka will not answer to others.
    """

    def __init__(self, count: int) -> None:
        """Allow `count` at once."""
        self._free = count
        self._free_for_troubled = max(1, count // 2)
        self._waiting: list[Permit] = []

    def wanted(self, held: Permit) -> bool:
        """Tell whether a lane waits that would be served if this permit were given back."""
        for_troubled = self._free_for_troubled + held.troubled
        return any(not permit.troubled or for_troubled for permit in self._waiting)

    @asynccontextmanager
    async def one(self, *, troubled: bool) -> AsyncIterator[Permit]:
        """Hold one permit, and say whether the lane is in trouble."""
        permit = Permit(self, troubled=troubled)
        self._waiting.append(permit)
        self._serve()
        try:
            await permit.granted
            yield permit
        finally:
            if permit in self._waiting:
                self._waiting.remove(permit)
            else:
                self._free += 1
                self._free_for_troubled += troubled
            self._serve()

    def _serve(self) -> None:
        for permit in tuple(self._waiting):
            if self._free and (self._free_for_troubled or not permit.troubled) and not permit.granted.done():
                self._waiting.remove(permit)
                self._free -= 1
                self._free_for_troubled -= permit.troubled
                permit.granted.set_result(None)
