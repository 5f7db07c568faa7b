"""Course: one contender and its topic, and what a load on it cost, checked against every count there is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contender import Contender
    from bench.ledger import Ledger
    from bench.topic import Topic

PATIENCE = 120.0  # seconds for what is under way when the load ends
LOOK = 0.2  # seconds between two looks whether it has ended


@dataclass(frozen=True, slots=True)
class Mark:
    """Where all counts stood at one moment: the relay's own, the topic's records, and seconds of CPU."""

    ledger: Ledger | None
    records: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a load came to: records, seconds of CPU, and the share of answers that did not wait for Kafka."""

    records: int
    cpu: float
    stored: float


@dataclass(frozen=True, slots=True)
class Course:
    """One contender; `variables` are those of its configuration. A bare handler has no topic."""

    contender: Contender
    topic: Topic | None
    variables: Mapping[str, str]

    def mark(self) -> Mark:
        """Note where the counts stand, before a load."""
        return Mark(self.ledger(), self.records(), self.contender.cpu)

    def settle(self, mark: Mark, *, answers: int, under_way: int = 0, refused: range = range(1)) -> Cost:
        """Wait until all that was accepted is published; give what it took since the mark.

        Raises `RuntimeError` unless there is a record for each of `answers` (which said 2xx), and at most
        `under_way` more, the relay's own count adds up, and it refused one of the numbers `refused`.
        """
        if self.topic is None:
            return Cost(answers, self.contender.cpu - mark.cpu, 0.0)
        published = self._wait_until_quiet() - mark.records
        cpu = self.contender.cpu - mark.cpu
        if not answers <= published <= answers + under_way:
            raise RuntimeError(f"{self.contender.name}: {answers} answers, but {published} records")
        return Cost(published, cpu, self._check(mark.ledger, published, refused))

    def records(self) -> int:
        """Count the records of its topic."""
        return self.topic.count() if self.topic else 0

    def ledger(self) -> Ledger | None:
        """Read the relay's own count; the others have none."""
        port = self.contender.ports.admin_port
        return ledger.read(port) if port else None

    def _wait_until_quiet(self) -> int:
        """Wait until nothing is pending and no more records come; give the number of records."""
        deadline = time.monotonic() + PATIENCE
        count = self.records()
        while time.monotonic() < deadline:
            time.sleep(LOOK)
            last, count, now = count, self.records(), self.ledger()
            if count == last and not (now and now.pending):
                return count
        raise RuntimeError(f"{self.contender.name}: deliveries are still under way after {PATIENCE:g} s")

    def _check(self, before: Ledger | None, published: int, refused: range) -> float:
        """Compare the relay's count with the topic's; give the share of answers that said `stored`."""
        now = self.ledger()
        if not (now and before):
            return 0.0
        wrong = now.differs_from(before, refused)
        if wrong or now.published - before.published != published:
            raise RuntimeError(f"{self.contender.name}: {published} records; {wrong or 'published another number'}")
        answers = {word: count - before.answers.get(word, 0) for word, count in now.answers.items()}
        return answers.get("stored", 0) / sum(answers.values())
