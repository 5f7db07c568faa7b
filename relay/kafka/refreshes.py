"""Refreshes: how often a producer asks brokers where its partitions are.

While a partition has no leader, or its topic is gone, aiokafka's sender asks as often as brokers answer, thousands of
times in the seconds for which a batch may wait, which costs them and everything else in this process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka.client import AIOKafkaClient
    from aiokafka.cluster import ClusterMetadata

PAUSE = 0.1  # seconds from one to the next, as Java's producer has it


def pace(client: AIOKafkaClient) -> None:
    """Let a client refresh its metadata at once, and then once a `PAUSE`; whoever asks meanwhile waits for the next."""
    refresh, last = client._metadata_update, time.monotonic() - PAUSE

    async def in_time(metadata: ClusterMetadata, topics: Collection[str] | None) -> bool:
        nonlocal last
        await asyncio.sleep(max(0.0, last + PAUSE - time.monotonic()))
        last = time.monotonic()
        return bool(await refresh(metadata, topics))

    client._metadata_update = in_time
