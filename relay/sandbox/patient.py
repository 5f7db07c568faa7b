"""Patient: the relay that is drilled, seen from outside: started, killed, and asked how it is."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from relay.health import NoAnswer, fetch
from relay.metrics import LANE_OLDEST, LANES, PENDING, LaneState, read_page
from relay.sandbox.drilled import ORDERS
from relay.sandbox.failure import Failure
from relay.sandbox.volley import WORKSPACES

if TYPE_CHECKING:
    from pathlib import Path

    from relay.sandbox.drilled import Orders

POLL = 0.05
TIMEOUT = 2.0
START = 60.0  # seconds until a start that is not ready has failed
STOP = 60.0
FEW = 4 * WORKSPACES  # pending deliveries of a relay that is not behind
OK = 200


class Patient:
    """`relay.sandbox.drilled` as a process; what it logs goes to one file."""

    def __init__(self, orders: Orders, log: Path) -> None:
        """Prepare; nothing runs yet."""
        self._orders = orders
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait."""
        environment = {**os.environ, ORDERS: msgspec.json.encode(self._orders).decode()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "relay.sandbox.drilled"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches the drill alone, which then ends it
            )

    def kill(self) -> None:
        """End it as a lost machine does; nothing when it does not run."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def ready(self) -> None:
        """Wait until it says that it can store. Raises `Failure` when it ends, or takes too long."""
        deadline = time.monotonic() + START
        while not await self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"the relay is not ready after {START:g} s; it logged:\n{self._last()}")
            await asyncio.sleep(POLL)

    async def recovered(self, since: float, patience: float) -> float | None:
        """Wait until all that came in before `since` (monotonic) is published; give how long that took.

        No lane is in trouble, recovering or behind then. None when it took more than `patience` seconds.
        """
        while (elapsed := time.monotonic() - since) < patience:
            self.check()
            if await self._is_well(elapsed):
                return time.monotonic() - since
            await asyncio.sleep(POLL)
        return None

    async def drained(self, patience: float) -> bool:
        """Wait until nothing is pending; False when that took too long."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.check()
            if (page := await self._ask("/metrics")) is not None and _sum(page, PENDING.name) == 0:
                return True
            await asyncio.sleep(POLL)
        return False

    async def stop(self) -> None:
        """Stop it as an orchestrator does. Raises `Failure` when it does not leave with 0."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, STOP)
        self._process = None
        if code:
            raise Failure(f"the relay left with {code}; it logged:\n{self._last()}")

    def check(self) -> None:
        """Raise `Failure` when it has ended by itself."""
        if self._process and self._process.poll() is not None:
            raise Failure(f"the relay ended by itself; it logged:\n{self._last()}")

    async def _is_ready(self) -> bool:
        return await self._ask("/readyz") is not None

    async def _is_well(self, elapsed: float) -> bool:
        if not await self._is_ready() or (page := await self._ask("/metrics")) is None:
            return False
        samples = read_page(page)
        ill = sum(s.value for s in samples if s.name == LANES.name and s.labels["state"] != LaneState.READY)
        oldest = max((s.value for s in samples if s.name == LANE_OLDEST.name), default=0.0)
        return not ill and oldest < max(elapsed, POLL) and _sum(page, PENDING.name) <= FEW

    async def _ask(self, path: str) -> str | None:
        """Ask its admin listener; give the page, None when the answer is not 200."""
        try:
            status, text = await asyncio.to_thread(fetch, "127.0.0.1", self._orders.admin_port, path, TIMEOUT)
        except NoAnswer:
            return None
        return text if status == OK else None

    def _last(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])


def _sum(page: str, name: str) -> float:
    return sum(sample.value for sample in read_page(page) if sample.name == name)
