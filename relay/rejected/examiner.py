"""Examiner: the doctor, in a thread that gives way.

One request is looked at after the other. The thread works for a millisecond and rests for four, so that whatever
comes in, the doctor costs a fifth of a processor at most, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from relay.core.doctor import diagnose, sentence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.core.doctor import Diagnosis
    from relay.core.model import Source

log = structlog.get_logger()

MAX_BODY = 16 << 10
MAX_WAITING = 8
BUDGET = 0.5  # seconds of processor time for one request
WORK, REST = 0.001, 0.004


class _OutOfTime(Exception):  # noqa: N818 - what happened
    """The doctor had to end before it found anything."""


class Examiner:
    """Asks the doctor, within bounds. It is used on the event loop alone."""

    def __init__(self, sources: Callable[[], Sequence[Source]]) -> None:
        """Know the keys of all `sources` of the moment, as one may have lent another's."""
        self._sources = sources
        self._thread = ThreadPoolExecutor(1, "doctor")
        self._waiting = 0
        self._stopped = False

    async def examine(self, source: Source, signatures: Sequence[str], body: bytes) -> tuple[str | None, bool]:
        """Give a verdict in a sentence, None when there is no time for one; and whether it explains the refusal."""
        if len(body) > MAX_BODY:
            return f"not examined: the body has {len(body)} bytes; save the request for relay verify --explain", False
        if self._waiting >= MAX_WAITING or self._stopped:
            return None, False
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, self._diagnose, source, signatures, body)
        except _OutOfTime:
            return "not found out in the time there was; relay verify --explain takes more", False
        except Exception:
            log.exception("doctor.failed", source=source.name)
            return None, False
        finally:
            self._waiting -= 1
        return sentence_of(found, len(body)), found is not None

    def stop(self) -> None:
        """Let the doctor end at once; what waits has no verdict."""
        self._stopped = True
        self._thread.shutdown(wait=False)

    def _diagnose(self, source: Source, signatures: Sequence[str], body: bytes) -> Diagnosis | None:
        """Ask the doctor, and take what it has when its time is over; raises `_OutOfTime` when that is nothing."""
        began = rested = time.thread_time()
        over = False

        def go_on() -> bool:
            nonlocal rested, over
            now = time.thread_time()
            over = self._stopped or now - began > BUDGET
            if not over and now - rested > WORK:
                time.sleep(REST)
                rested = time.thread_time()
            return not over

        others = [other for other in self._sources() if other is not source]
        found = diagnose([source, *others], signatures, body, go_on)
        if found is None and over:
            raise _OutOfTime
        return found
