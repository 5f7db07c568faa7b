"""Workspaces: requested at a rate, and after a while provisioned, or not; each step is a delivery."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.sandbox.samples import completed, failed, started

if TYPE_CHECKING:
    from relay.sandbox.simulated import SimulatedPoint

FAILS_EVERY = 5


class Workspaces:
    """Makes workspaces in a simulated Syskit Point; `begun` counts them.

    A workspace's second delivery is sent only after the first was answered, as its order is shown by it.
    """

    def __init__(self, point: SimulatedPoint, rate: float, *, takes: float = 0.2, name: str = "workspace") -> None:
        """Request `rate` a second, each of which takes `takes` seconds; every fifth fails."""
        self._point = point
        self._interval = 1 / rate
        self._takes = takes
        self._name = name
        self._over = asyncio.Event()
        self.begun = 0

    async def run(self) -> None:
        """Request workspaces until `stop`, then wait for the end of those that were begun."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while not self._over.is_set():
                self.begun += 1
                tasks.create_task(self._provision(self.begun))
                due += self._interval
                await asyncio.sleep(due - loop.time())

    def stop(self) -> None:
        """Request nothing more."""
        self._over.set()

    async def _provision(self, number: int) -> None:
        name = f"{self._name}-{number}"
        await self._point.deliver("ProvisioningStarted", started(name))
        await asyncio.sleep(self._takes)
        if number % FAILS_EVERY == 0:
            await self._point.deliver("ProvisioningFailed", failed(name))
        else:
            await self._point.deliver("ProvisioningCompleted", completed(name))
