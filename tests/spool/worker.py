"""A process that appends, flies and settles until it is killed, and says each thing once it was told it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

import msgspec

from relay.metrics import Metrics
from relay.spool import Journal, Spool
from tests.spool.samples import FLIGHT, entry, forget, published, spool_at

LINES = 6


def say(*words: object) -> None:
    """Say it at once, whatever happens next."""
    os.write(sys.stdout.fileno(), f"{' '.join(map(str, words))}\n".encode())


async def deliver(spool: Spool, ids: itertools.count[int]) -> None:
    """Append one after the other; each flies, lands and is settled as a lane's batch of one."""
    while True:
        one = entry(f"{os.getpid()}-{next(ids)}")
        number = (await spool.append(one, forget)).number
        say("appended", number, one.event_id)
        flown = (
            (await spool.write(Journal(flights=(msgspec.structs.replace(FLIGHT, items=((number, b"key"),)),))))
            .flights[0]
            .id
        )
        say("flown", flown, number)
        if number % 3:
            await spool.write(Journal((published(number),), landed=(flown,)))
            say("settled", number, flown)


async def work(path: Path) -> None:
    """Do so for ever, as several requests at a time."""
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    ids = itertools.count()
    async with spool_at(path, metrics, remembered=10_000) as spool:
        await asyncio.gather(*(deliver(spool, ids) for _ in range(LINES)))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
