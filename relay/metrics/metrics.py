"""The counters and histograms of one running relay, and the page on which they are scraped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, exposition, openmetrics

from relay.core.errors import Cause, Reason, Refusal
from relay.core.model import Withdrawal
from relay.metrics import declared
from relay.metrics.gauges import GaugeCollector
from relay.metrics.labels import NONE, OTHER, ClosedCounter, TopicCounter, Topics
from relay.metrics.point import PointMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.metrics.gauges import Gauges

ANSWERS = ("published", "stored", "duplicate", "dead", "dropped", "rejected", "unavailable")
"""What an answer says: the status of its receipt, or that there is none."""


class Metrics:
    """Counts what happens, each thing in one metric; built once, in a registry of its own.

    `sources`, `types` (Syskit Point's), `dropping` (names of rules that drop) and `topics` (literal ones)
    are what is known at start: each is shown from the first scrape on, at 0. What is not among the first
    three counts under `none` (a source) or `other`. Safe to call from any thread.
    """

    def __init__(
        self,
        *,
        sources: Sequence[str],
        types: Sequence[str],
        dropping: Sequence[str],
        topics: Sequence[str],
        version: str,
    ) -> None:
        """Make every metric of the table with all label values known at start."""
        # Scrapers make nothing of the `_created` series, and they would double the page.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library left it untyped
        registry = self._registry = CollectorRegistry()
        known = (*sources, NONE)
        self._accepted = ClosedCounter(declared.ACCEPTED, registry, known)
        self._duplicate = ClosedCounter(declared.DUPLICATE, registry, known)
        self._rejected = ClosedCounter(declared.REJECTED, registry, known, Refusal)
        self._published = ClosedCounter(declared.PUBLISHED, registry, known, (*types, OTHER))
        self._dead = ClosedCounter(declared.DEAD, registry, known, Reason)
        self._dropped = ClosedCounter(declared.DROPPED, registry, known, (*dropping, OTHER))
        self._replayed = ClosedCounter(declared.REPLAYED, registry, known)
        self._withdrawn = ClosedCounter(declared.WITHDRAWN, registry, known, Withdrawal)
        self._mirrored = ClosedCounter(declared.MIRRORED, registry, known)
        self._unavailable = ClosedCounter(declared.UNAVAILABLE, registry, Cause)
        self._algorithm_mismatch = ClosedCounter(declared.ALGORITHM_MISMATCH, registry, known)
        self._time_unreadable = ClosedCounter(declared.TIME_UNREADABLE, registry, known)
        self._other_reading = ClosedCounter(declared.OTHER_READING, registry, known)
        self._rejection_explained = ClosedCounter(declared.REJECTION_EXPLAINED, registry, known)
        self.point = PointMetrics(registry, known)
        names = Topics(topics)
        self._records = TopicCounter(declared.RECORDS, registry, names)
        self._possible_duplicates = TopicCounter(declared.POSSIBLE_DUPLICATES, registry, names)
        self._lane_recoveries = TopicCounter(declared.LANE_RECOVERIES, registry, names)
        answers = _histogram(declared.ANSWER_SECONDS, registry)
        self._answers = {status: answers.labels(status) for status in ANSWERS}
        self._commit_seconds = _histogram(declared.COMMIT_SECONDS, registry)
        self._commit_operations = _histogram(declared.COMMIT_OPERATIONS, registry)
        _gauge(declared.BUILD_INFO, registry).labels(version).set(1)
        self._gauges = GaugeCollector(names)
        registry.register(self._gauges)

    def accepted(self, source: str) -> None:
        """Count a delivery as stored: each one once, dead on arrival or not, and no duplicate."""
        self._accepted.add(source)

    def duplicate(self, source: str) -> None:
        """Count a repeat of an accepted delivery."""
        self._duplicate.add(source)

    def rejected(self, source: str | None, refusal: Refusal) -> None:
        """Count a request refused; `source` is None when no source has its path."""
        self._rejected.add(source or NONE, refusal)

    def published(self, source: str, event_type: str) -> None:
        """Count a delivery as settled with all its records in Kafka."""
        self._published.add(source, event_type)

    def dead(self, source: str, reason: Reason) -> None:
        """Count a delivery as settled as a dead letter."""
        self._dead.add(source, reason)

    def dropped(self, source: str, route: str) -> None:
        """Count a delivery as settled as dropped by the named rule."""
        self._dropped.add(source, route)

    def replayed(self, source: str) -> None:
        """Count a replay as stored; its end is counted as that of any delivery."""
        self._replayed.add(source)

    def mirrored(self, source: str) -> None:
        """Count the mirror of a dead letter as stored; its end is counted as that of any delivery."""
        self._mirrored.add(source)

    def withdrawn(self, source: str, withdrawal: Withdrawal) -> None:
        """Count a dead letter as dead no more."""
        self._withdrawn.add(source, withdrawal)

    def unavailable(self, cause: Cause) -> None:
        """Count a request that was answered 429 or 503."""
        self._unavailable.add(cause)

    def algorithm_mismatch(self, source: str) -> None:
        """Count a delivery accepted although its Algorithm header was missing or named another."""
        self._algorithm_mismatch.add(source)

    def time_unreadable(self, source: str) -> None:
        """Count a delivery without a time that could be read."""
        self._time_unreadable.add(source)

    def other_reading(self, source: str) -> None:
        """Count a refused signature that would verify under the other reading of `signs`."""
        self._other_reading.add(source)

    def rejection_explained(self, source: str) -> None:
        """Count a refused request of which the doctor found out what is wrong."""
        self._rejection_explained.add(source)

    def records_published(self, topic: str, count: int) -> None:
        """Count records of one topic as acknowledged, each once."""
        self._records.add(topic, count)

    def possible_duplicates(self, topic: str, count: int) -> None:
        """Count records about to be sent again although Kafka may hold them."""
        self._possible_duplicates.add(topic, count)

    @property
    def doubted(self) -> int:
        """How many records of all topics are counted as possible duplicates."""
        return self._possible_duplicates.total

    @property
    def recoveries(self) -> int:
        """How many recoveries of lanes are counted."""
        return self._lane_recoveries.total

    def lane_recovered(self, topic: str) -> None:
        """Count one recovery of a topic's lane."""
        self._lane_recoveries.add(topic, 1)

    def answered(self, status: str, seconds: float) -> None:
        """Record how long an answer took; `status` is one of `ANSWERS`, else KeyError."""
        self._answers[status].observe(seconds)

    def committed(self, operations: int, seconds: float) -> None:
        """Record one commit of the spool: how many operations shared it, and how long it took."""
        self._commit_operations.observe(operations)
        self._commit_seconds.observe(seconds)

    def observe_gauges(self, read: Callable[[], Gauges]) -> None:
        """Read the gauges from here on by `read`, once a scrape, in the thread of `render`; zeros until then."""
        self._gauges.read = read

    def render(self, *, open_metrics: bool = False) -> bytes:
        """Give all metrics as they are now, as Prometheus text 0.0.4 or OpenMetrics 1.0.0, in UTF-8."""
        form = openmetrics.exposition if open_metrics else exposition
        page: bytes = form.generate_latest(self._registry)
        return page


def _gauge(metric: declared.Declared, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: declared.Declared, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry)
