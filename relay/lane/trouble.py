"""Trouble: what holds a lane up, and since when, told once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from relay.kafka import TopicMissing

if TYPE_CHECKING:
    from relay.core.errors import Unavailable

log = structlog.get_logger()


class Trouble:
    """Keeps why a lane tries again after a pause, or why an answer is late, which may still come."""

    def __init__(self, topic: str) -> None:
        """Start without any."""
        self._topic = topic
        self._failed: str | None = None
        self._late: str | None = None
        self.since = time.time()
        self._since = 0.0  # as `since`, by the clock that nobody sets
        self.failures = 0  # one behind the other

    @property
    def now(self) -> str | None:
        """What keeps the lane from publishing, or holds it up; None while it is well."""
        return self._late or self._failed

    def fail(self, error: Unavailable, flights: int) -> None:
        """Say what is wrong, once for each trouble, and since when."""
        if self.now is None:
            self.since, self._since = time.time(), time.monotonic()
        told = self._failed is not None and _gist(self._failed) == _gist(str(error))
        if isinstance(error, TopicMissing) and not told:
            log.error("topic.missing", topic=self._topic, error=str(error))
        elif not told:
            log.error("lane.failed", topic=self._topic, error=str(error), flights=flights)
        self._failed, self._late = str(error), None
        self.failures += 1

    def delay(self, waited: float, why: str, flights: int) -> None:
        """Say that an answer is late, why, and since when. Nothing else is done: the flight stays aloft."""
        told, self._late = self.now is not None, f"no answer yet; {why}" if why else "no answer yet"
        if not told:
            self.since, self._since = time.time() - waited, time.monotonic() - waited
            log.warning("lane.delayed", topic=self._topic, error=self._late, flights=flights)

    def heal(self) -> None:
        """Say that it is over, if there was any."""
        if self.now:
            log.info("lane.healed", topic=self._topic, seconds=round(time.monotonic() - self._since, 3))
            self._failed = self._late = None
            self.since = time.time()
        self.failures = 0


def _gist(trouble: str) -> str:
    """Leave out what may be another thing at each attempt: the last error and its partition, and what follows."""
    return trouble.partition(";")[0]
