"""Thread: a thread of the spool's own, which does one job after the other for the event loop."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Thread:
    """Does what it is given, in order, off the event loop. Idle from the start; `close` ends it.

    In place of an executor of one thread, whose hand-over costs several times as much: there is one a commit.
    """

    def __init__(self, name: str) -> None:
        """Start the thread; used from one event loop."""
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()
        self.jobs = 0
        self._closed = False

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Let `work` be done behind all that was given before; gives its result, or raises what it raised.

        `jobs` counts what is not done yet, as the event loop has heard. Raises `Unavailable` once closed.
        """
        if self._closed:
            raise Unavailable("the spool is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.jobs += 1

        def finish(result: T | None, error: BaseException | None) -> None:
            self.jobs -= 1
            if future.done():  # whoever waited was cancelled
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # without an error it is the result
            else:
                future.set_exception(error)

        def job() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                loop.call_soon_threadsafe(finish, None, error)
            else:
                loop.call_soon_threadsafe(finish, result, None)

        self._jobs.put(job)
        return future

    def close(self) -> None:
        """End the thread when it has done what it was given; waits for that."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # what it holds is let go now, and not with the next one
