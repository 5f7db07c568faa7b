"""Running the relay as a process: until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from relay.app.relay import Relay

if TYPE_CHECKING:
    from relay.config import Config


async def run(config: Config) -> None:
    """Run until SIGTERM or SIGINT, then stop in order; a second signal makes it leave at once.

    Nothing acknowledged is lost by either. Raises what `Relay.running` raises.
    """
    relay = Relay(config)
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            relay.hurry()
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with relay.running():
        await asked.wait()
