"""Lap: one contender under load for some seconds, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import ledger, load

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contender import Contender
    from bench.topic import Topic

PATIENCE = 60.0  # seconds for what is under way when the load ends
LOOK = 0.2  # seconds between two looks whether it has ended


@dataclass(frozen=True, slots=True)
class Lap:
    """What was measured: deliveries answered a second, CPU seconds a delivery, bytes in memory afterwards.

    `stored` is the share of the answers that did not wait for Kafka to the end.
    """

    rate: float
    cpu: float
    memory: int
    stored: float


@dataclass(frozen=True, slots=True)
class Course:
    """One contender and its topic; laps are run on it."""

    contender: Contender
    topic: Topic

    def lap(self, deliveries: Path, *, seconds: int, connections: int) -> Lap:
        """Put the contender under load, wait until all it accepted is published, and divide what that took.

        Raises `RuntimeError` when an answer was not 2xx, a record is missing or too many, or the relay's own
        count of its deliveries does not add up.
        """
        before, records, cpu = self._ledger(), self.topic.count(), self.contender.cpu
        answered = load.post(self.contender.ports.port, deliveries, seconds=seconds, connections=connections)
        published = self._wait_until_quiet() - records
        cpu = self.contender.cpu - cpu
        if not answered.answers <= published <= answered.answers + connections:
            raise RuntimeError(f"{self.contender.name}: {answered.answers} answers, but {published} records")
        stored = self._check(before, published)
        return Lap(answered.rate, cpu / published, self.contender.memory, stored)

    def _ledger(self) -> ledger.Ledger | None:
        """Read the relay's own count; the plain service has none."""
        port = self.contender.ports.admin_port
        return ledger.read(port) if port else None

    def _wait_until_quiet(self) -> int:
        """Wait until nothing is pending and no more records come; give the number of records."""
        deadline = time.monotonic() + PATIENCE
        count = self.topic.count()
        while time.monotonic() < deadline:
            time.sleep(LOOK)
            last, count, now = count, self.topic.count(), self._ledger()
            if count == last and not (now and now.pending):
                return count
        raise RuntimeError(f"{self.contender.name}: deliveries are still under way after {PATIENCE:g} s")

    def _check(self, before: ledger.Ledger | None, published: int) -> float:
        """Compare the relay's count with the topic's; give the share of answers that said `stored`."""
        now = self._ledger()
        if not (now and before):
            return 0.0
        wrong = now.differs_from(before)
        if wrong or now.published - before.published != published:
            raise RuntimeError(f"{self.contender.name}: {published} records; {wrong or 'published another number'}")
        answers = {word: count - before.answers.get(word, 0) for word, count in now.answers.items()}
        return answers.get("stored", 0) / sum(answers.values())
