"""Running the relay as a process: until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from typing import TYPE_CHECKING

from relay.app.relay import Relay

if TYPE_CHECKING:
    from relay.config import Config
    from relay.kafka import Cluster

# Objects made and not freed until they are searched for cycles, of which the relay makes hardly any: the default of
# 700 searches thousands of times a second under load.
GARBAGE = 20_000


async def run(config: Config, cluster: Cluster | None = None) -> None:
    """Run until SIGTERM or SIGINT, then stop in order; a second signal makes it leave at once.

    Nothing acknowledged is lost by either. `cluster` takes the place of the one that `config` describes. Raises what
    `Relay.running` raises.
    """
    _allow_connections()
    gc.freeze()  # what is imported by now stays for good: no collection need look at it again
    gc.set_threshold(GARBAGE, 5, 5)
    relay = Relay(config, cluster)
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


def _allow_connections() -> None:
    """Raise the soft limit of open files, which is made for programs of another kind, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
