"""Patience: everybody waits for the same time at most, and who was let go before is left alone."""

from __future__ import annotations

import asyncio

from relay.forwarder.patience import Patience


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_who_waits_is_let_go_when_the_time_is_over() -> None:
    """Nobody is let go before the time, and everybody after it, whenever each began to wait."""
    patience, loop = Patience(0.05), asyncio.get_running_loop()
    began = loop.time()
    first, second = _future(), _future()
    patience.bound(first)
    await asyncio.sleep(0.02)
    patience.bound(second)
    await first
    assert loop.time() - began >= 0.05
    assert not second.done()
    await second
    assert loop.time() - began >= 0.07


async def test_who_was_let_go_before_keeps_nobody_waiting_and_no_memory() -> None:
    """Those who are done are forgotten as others come, and cost the others nothing when the time is over."""
    patience = Patience(0.05)
    for _ in range(1000):
        done = _future()
        patience.bound(done)
        done.set_result(None)
    last = _future()
    patience.bound(last)
    assert len(patience._waiting) == 1
    await last
    assert patience._timer is None
