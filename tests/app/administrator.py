"""What an administrator of Syskit Point does with the relay: writes a file without a key, runs it, asks its verbs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from relay.sandbox.authority import CLIENT_ID, SCOPE, TENANT
from tests.running import PATH, RELAY, Running, settings
from tests.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from relay.sandbox.simulated import SimulatedPoint

ELSEWHERE = "127.0.0.1:1"  # no Kafka: what is stored is acknowledged all the same


def administered(simulated: SimulatedPoint, folder: Path, **others: object) -> tuple[dict[str, object], str]:
    """Give what an administrator writes, and the public URL: no key, no registration; `others` are sources beside."""
    secret = folder / "client_secret"
    secret.write_text(simulated.authority.secret)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        admin_port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{PATH}"
    point = {
        "url": simulated.url, "authority": simulated.url, "tenant": TENANT, "client_id": CLIENT_ID, "scope": SCOPE,
        "client_secret": f"${{file:{secret}}}", "allow_private": True,
        "register": {"endpoint": f"{url}?code=hunter2", "every": "1s"},
    }  # fmt: skip
    written = settings(
        ELSEWHERE, folder, "t", sources={"contoso": {"path": PATH, "point": point}, **others}, ack={"after": "stored"},
        listen={"host": "127.0.0.1", "port": port}, admin={"port": admin_port}, stop={"timeout": "1s"},
    )  # fmt: skip
    return written, f"{url}?code=hunter2"


@asynccontextmanager
async def running(relay: Running, ready: int = 200) -> AsyncIterator[Running]:
    """Run a relay, in threads, so that Syskit Point goes on answering; ended it is in any case."""
    try:
        await asyncio.to_thread(relay.start, ready)
        yield relay
    finally:
        if relay.runs:
            await asyncio.to_thread(relay.kill9)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, in a thread, so that Syskit Point goes on answering."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.01)


async def verb(relay: Running, *words: str) -> tuple[int, str, str]:
    """Run a verb as a user does: exit code, stdout, stderr."""
    command = [RELAY, *words, "-c", str(relay.config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
