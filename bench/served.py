"""Served: how the services that the relay is measured beside listen, and say that they do."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from bench.deliveries import PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def serve(name: str, post: Callable[[web.Request], Awaitable[web.Response]]) -> None:
    """Answer deliveries on a free port until SIGTERM; the port is in the one line that is printed."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = web.Application()
    app.router.add_post(PATH, post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(json.dumps({"event": f"{name}.started", "port": runner.addresses[0][1]}), file=sys.stderr, flush=True)
    await stop.wait()
    await runner.cleanup()
