"""Listening: a listener by an ingest of the test's own, and a delivery to send it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from relay.config import Listen
from relay.metrics import Metrics
from relay.rejected import Rejections
from relay.server import Listener
from tests.core.samples import SOURCE
from tests.running import request, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.ingest import Ingest


@asynccontextmanager
async def listening(ingest: Ingest, **listen: float) -> AsyncIterator[Listener]:
    """Give a listener that answers by this ingest."""
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    listener = Listener(
        Listen(host="127.0.0.1", port=0, **listen),  # type: ignore[arg-type]  # whichever of its settings
        [SOURCE],
        ingest,
        metrics,
        Rejections(lambda: [SOURCE], metrics, keep_bodies=False),
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


def signed_request(body: bytes) -> bytes:
    """Give a delivery as it goes over the wire."""
    return request(body, signed(body, SOURCE.keys[0].secret.decode()), SOURCE.path)
