"""Refreshes: how often a producer asks brokers where its partitions are.

While a partition has no leader, or its topic is gone, aiokafka's sender asks as often as brokers answer: thousands of
times while a batch waits, at the cost of the brokers and of all other lanes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka.client import AIOKafkaClient
    from aiokafka.cluster import ClusterMetadata

PAUSE = 0.1  # seconds from one to the next: retry.backoff.ms of Java's producer


def pace(client: AIOKafkaClient) -> None:
    """Let a client refresh its metadata at most once a `PAUSE`, the first time at once."""
    refresh, last = client._metadata_update, time.monotonic() - PAUSE

    async def in_time(metadata: ClusterMetadata, topics: Collection[str] | None) -> bool:
        nonlocal last
        await asyncio.sleep(max(0.0, last + PAUSE - time.monotonic()))
        last = time.monotonic()
        return bool(await refresh(metadata, topics))

    client._metadata_update = in_time
