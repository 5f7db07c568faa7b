"""The keys while no relay runs: listed, or changed under the spool's lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay import __version__
from relay.keys import Fetching, Keys, Listing
from relay.metrics import Metrics
from relay.spool import Lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.config import Config
    from relay.keys import KeyRow, KeysAsked


def keys_at_rest(config: Config, asked: KeysAsked) -> Sequence[KeyRow]:
    """Do what is asked for, and tell the keys; to list them nothing is locked or written.

    Raises `InUse` when a relay runs, else `Unavailable`.
    """
    names = [source.name for source in config.sources]
    keys = Keys(config, Metrics(sources=names, types=(), dropping=(), topics=(), version=__version__))
    if isinstance(asked, Listing):
        keys.open(mend=False)
        return asyncio.run(keys.answer(asked))
    lock = Lock(config.spool.path)
    try:
        keys.open()
        return asyncio.run(_answer(keys, asked))
    finally:
        lock.close()


async def _answer(keys: Keys, asked: KeysAsked) -> Sequence[KeyRow]:
    running = asyncio.create_task(keys.run()) if isinstance(asked, Fetching) else None
    try:
        return await keys.answer(asked)
    finally:
        if running:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
