"""A process that appends to a spool until it is killed, and says each number once it was told it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from relay.metrics import Metrics
from tests.spool.samples import entry, forget, spool_at

LINES = 8


async def append(path: Path) -> None:
    """Append for ever, as several requests at a time."""
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    ids = itertools.count()
    async with spool_at(path, metrics, remembered=10_000) as spool:

        async def request() -> None:
            while True:
                one = entry(f"{os.getpid()}-{next(ids)}")
                appended = await spool.append(one, forget)
                os.write(sys.stdout.fileno(), f"appended {appended.number} {one.event_id}\n".encode())

        await asyncio.gather(*(request() for _ in range(LINES)))


if __name__ == "__main__":
    asyncio.run(append(Path(sys.argv[1])))
