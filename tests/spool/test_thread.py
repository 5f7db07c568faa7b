"""Thread: jobs are done in order, off the loop, and what they give or raise comes back."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing, suppress

import pytest

from relay.core.errors import Unavailable
from relay.spool.thread import Thread


async def test_jobs_are_done_in_order_off_the_loop() -> None:
    """One job after the other, in one thread that is not the loop's; each gives its result."""
    seen: list[tuple[int, str]] = []
    with closing(Thread("desk")) as thread:
        jobs = [thread.do(lambda at=at: seen.append((at, threading.current_thread().name))) for at in range(5)]  # type: ignore[misc]
        assert thread.jobs == 5
        await asyncio.gather(*jobs)
        assert thread.jobs == 0
        assert await thread.do(lambda: 42) == 42
    assert seen == [(at, "desk") for at in range(5)]


async def test_what_a_job_raises_is_raised_where_it_is_waited_for() -> None:
    """An error ends neither the thread nor another job."""
    with closing(Thread("desk")) as thread:
        with pytest.raises(ZeroDivisionError):
            await thread.do(lambda: 1 / 0)
        assert await thread.do(lambda: 1) == 1


async def test_who_no_longer_waits_is_not_told() -> None:
    """A job whose caller was cancelled is done all the same, and counted as done."""
    going = threading.Event()
    with closing(Thread("desk")) as thread:
        job = thread.do(going.wait)
        job.cancel()
        going.set()
        assert await thread.do(lambda: 1) == 1
        assert thread.jobs == 0
        with suppress(asyncio.CancelledError):
            await job


async def test_one_that_is_closed_takes_no_job() -> None:
    """Nobody would do it, and who waits for it would wait for ever."""
    thread = Thread("desk")
    thread.close()
    with pytest.raises(Unavailable, match="the spool is closed"):
        thread.do(lambda: 1)
