"""Forgers and a rotation: what they share an address with loses as little as is said here. Real sockets, no Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from relay.keys import pace
from relay.sandbox.simulated import Part, SimulatedPoint
from tests.app.administrator import administered, running, until
from tests.app.flood import flooding
from tests.running import KEY, Running, event, request, signed

if TYPE_CHECKING:
    from pathlib import Path

FORGED = "a key that nobody gave me"
OTHER = {"path": "/other", "keys": [KEY]}
BODY = event()


async def posted(relay: Running, key: str) -> int:
    """Post a delivery under a key; the status."""
    return (await asyncio.to_thread(relay.post, event(), key=key)).status


async def count(relay: Running, name: str, **labels: str) -> float:
    """Give the sum of a metric."""
    return await asyncio.to_thread(relay.metric, name, **labels)


async def test_a_rotation_loses_nothing_to_what_is_turned_away_at_the_door_or_fails_elsewhere(tmp_path: Path) -> None:
    """Every delivery under the old key and, from the first on, under the new one is 202, though all else is 429.

    That is: unsigned and malformed requests, and forgeries for another source, over their buckets.
    """
    floods = (
        request(b"", {}),
        request(b"", {}, "/other"),
        request(b"", {"Signature": "?"}),
        request(BODY, signed(BODY, FORGED), "/other"),
    )
    async with SimulatedPoint() as simulated:
        written, _ = administered(simulated, tmp_path, other=OTHER)
        async with running(Running(tmp_path, written)) as relay, AsyncExitStack() as stack:
            told = [await stack.enter_async_context(flooding(relay.port, flood, burst=20)) for flood in floods]
            await until(lambda: all(answered[429] for answered in told))
            for _ in range(3):
                assert [await posted(relay, simulated.key) for _ in range(5)] == [202] * 5
                simulated.rotate()
            assert await posted(relay, simulated.key) == 202
            assert {status for answered in told for status in answered} == {401, 429}
            assert await count(relay, "relay_deliveries_unavailable_total") == 0
            assert await count(relay, "relay_deliveries_rejected_total", reason="throttled", source="contoso") > 0
            assert not relay.told("delivery.rejected", reason="throttled")


async def test_a_rotation_outlives_a_forger_of_the_same_source_and_address(tmp_path: Path) -> None:
    """Over the bucket a forger is 429, not 503; the old key passes all the time, and the new one after a fetch.

    Until that, which comes at the ring's pace, a delivery under the new key may be 429 as the forger is.
    """
    async with SimulatedPoint() as simulated:
        written, _ = administered(simulated, tmp_path)
        async with running(Running(tmp_path, written)) as relay:
            began, before = time.monotonic(), simulated.asked[Part.OPTIONS]
            forged = request(BODY, signed(BODY, FORGED))
            async with flooding(relay.port, forged, connections=60) as answered:
                await until(lambda: answered[429] > 100)
                old, early = simulated.key, Counter[int]()
                new = simulated.rotate()
                while not early[202]:
                    early[await posted(relay, new)] += 1
                    assert await posted(relay, old) == 202
                assert early.keys() <= {202, 429}
                throttled = answered[429]
                await until(lambda: answered[429] > throttled + 100)
                for _ in range(10):
                    assert (await posted(relay, new), await posted(relay, old)) == (202, 202)
            assert answered.keys() <= {401, 429}
            fetches = simulated.asked[Part.OPTIONS] - before
            assert 2 <= fetches <= 2 + (time.monotonic() - began) / pace.GAPS[0]
            assert await count(relay, "relay_deliveries_unavailable_total") == 0
            assert await count(relay, "relay_deliveries_rejected_total", reason="throttled") >= answered[429]
            assert not relay.told("delivery.rejected", reason="throttled")
            assert not relay.told("delivery.unavailable")


async def test_a_slow_forger_breaks_no_rotation(tmp_path: Path) -> None:
    """However long one signature after the other is wrong, the first delivery under a new key waits, and is 202."""
    async with SimulatedPoint() as simulated:
        written, _ = administered(simulated, tmp_path)
        async with running(Running(tmp_path, written)) as relay:
            fetches = simulated.asked[Part.OPTIONS] + 5
            while simulated.asked[Part.OPTIONS] < fetches:
                assert await posted(relay, FORGED) == 401
            for _ in range(2):
                new = simulated.rotate()
                assert [await posted(relay, new) for _ in range(5)] == [202] * 5
                assert await posted(relay, FORGED) == 401
