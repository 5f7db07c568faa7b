"""What the relay's parts hold at the moment of a scrape."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from relay.metrics import declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from relay.metrics.labels import Topics

log = structlog.get_logger()

DAY = 86_400.0


class LaneState(enum.StrEnum):
    """How a lane stands: publishing, below the window, handing flights over again, or waiting.

    That is to try again, or for an answer that is late.
    """

    READY = "ready"
    BEHIND = "behind"
    RECOVERING = "recovering"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class LaneGauges:
    """One open lane: what it has still to publish, and the age of its oldest."""

    topic: str
    state: LaneState
    pending_records: int = 0
    pending_bytes: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyGauges:
    """One good key of a source, by its fingerprint; None for what was never used, or has no end. Seconds."""

    source: str
    key: str
    age_seconds: float
    unused_seconds: float | None = None
    left_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """One consistent reading of everything that goes up and down; bytes and seconds."""

    ready: bool = False
    exactly_once: bool = False
    pending: int = 0
    spool_bytes: int = 0
    spool_max_bytes: int = 0
    spool_dead_bytes: int = 0
    spool_lost: int = 0
    spool_doubtful: int = 0
    dedupe_ids: int = 0
    dedupe_horizon_seconds: float = 0.0
    flights: int = 0
    flight_oldest_seconds: float = 0.0
    requests_in_flight: int = 0
    answers_waiting: int = 0
    lanes: tuple[LaneGauges, ...] = ()
    keys: tuple[KeyGauges, ...] = ()


class GaugeCollector(Collector):
    """Reads the gauges once a scrape, and gives them in the declared names."""

    def __init__(self, topics: Topics) -> None:
        """Read nothing but zeros until `read` is set."""
        self._topics = topics
        self.read: Callable[[], Gauges] = Gauges

    def describe(self) -> list[Metric]:
        """Name nothing ahead: a registry would otherwise read the gauges to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every gauge, or none when they could not be read: a fault there must not hide the counters."""
        try:
            now = self.read()
        except Exception:
            log.exception("gauges.unread")
            return
        yield from _single(now)
        yield _lanes(now.lanes)
        yield from self._by_topic(now.lanes)
        yield from _keys(now.keys)

    def _by_topic(self, lanes: tuple[LaneGauges, ...]) -> Iterator[Metric]:
        records, sizes, oldest = Counter[str](), Counter[str](), dict[str, float]()
        for lane in lanes:
            label = self._topics.label(lane.topic)
            records[label] += lane.pending_records
            sizes[label] += lane.pending_bytes
            oldest[label] = max(oldest.get(label, 0.0), lane.oldest_seconds)
        yield _family(declared.LANE_RECORDS, records)
        yield _family(declared.LANE_BYTES, sizes)
        yield _family(declared.LANE_OLDEST, oldest)


def _single(now: Gauges) -> Iterator[Metric]:
    values = (
        (declared.PENDING, now.pending),
        (declared.SPOOL_BYTES, now.spool_bytes),
        (declared.SPOOL_MAX_BYTES, now.spool_max_bytes),
        (declared.SPOOL_DEAD_BYTES, now.spool_dead_bytes),
        (declared.SPOOL_LOST, now.spool_lost),
        (declared.SPOOL_DOUBTFUL, now.spool_doubtful),
        (declared.DEDUPE_IDS, now.dedupe_ids),
        (declared.DEDUPE_HORIZON, now.dedupe_horizon_seconds),
        (declared.FLIGHTS, now.flights),
        (declared.FLIGHT_OLDEST, now.flight_oldest_seconds),
        (declared.REQUESTS_IN_FLIGHT, now.requests_in_flight),
        (declared.ANSWERS_WAITING, now.answers_waiting),
        (declared.READY, int(now.ready)),
        (declared.EXACTLY_ONCE, int(now.exactly_once)),
    )
    for metric, value in values:
        yield GaugeMetricFamily(metric.name, metric.help, value=value)


def _lanes(lanes: tuple[LaneGauges, ...]) -> Metric:
    states = Counter(lane.state for lane in lanes)
    return _family(declared.LANES, {str(state): states[state] for state in LaneState})


def _keys(keys: tuple[KeyGauges, ...]) -> Iterator[Metric]:
    ages = [(key, key.age_seconds) for key in keys]
    unused = [(key, key.unused_seconds) for key in keys if key.unused_seconds is not None]
    left = [(key, key.left_seconds / DAY) for key in keys if key.left_seconds is not None]
    for metric, values in ((declared.KEY_AGE, ages), (declared.KEY_UNUSED, unused), (declared.KEY_LEFT, left)):
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for key, value in values:
            family.add_metric([key.source, key.key], value)
        yield family


def _family(metric: declared.Declared, values: Counter[str] | dict[str, float] | dict[str, int]) -> Metric:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family
