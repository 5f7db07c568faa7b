"""A flood: one request over and over, from this machine's address, until the block ends."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAUSE = 0.05  # seconds between two bursts: it is to empty buckets, and to leave the machine to others


@asynccontextmanager
async def flooding(port: int, request: bytes, *, connections: int = 1, burst: int = 1) -> AsyncIterator[Counter[int]]:
    """Send `burst` requests at once on each connection, again and again; give the answers by status, as they come."""
    answered: Counter[int] = Counter()
    async with asyncio.TaskGroup() as group:
        floods = [group.create_task(_flood(port, request * burst, burst, answered)) for _ in range(connections)]
        try:
            yield answered
        finally:
            for flood in floods:
                flood.cancel()


async def _flood(port: int, requests: bytes, burst: int, answered: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(requests)
            for _ in range(burst):
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = re.findall(rb"\r\nContent-Length: (\d+)\r\n", head)
                await reader.readexactly(int(length))
                status = int(head.split()[1])
                assert status not in {429, 503} or b"\r\nRetry-After: " in head
                answered[status] += 1
            await asyncio.sleep(PAUSE)
    finally:
        writer.close()
