"""Every metric of the relay, declared and documented once."""

from relay.metrics.declared import (
    ACCEPTED,
    DEAD,
    DROPPED,
    LANE_OLDEST,
    LANES,
    MIRRORED,
    PENDING,
    PUBLISHED,
    REPLAYED,
    TABLE,
    WITHDRAWN,
    Declared,
)
from relay.metrics.gauges import Gauges, KeyGauges, LaneGauges, LaneState
from relay.metrics.metrics import Metrics
from relay.metrics.page import Sample, read_page

__all__ = [
    "ACCEPTED",
    "DEAD",
    "DROPPED",
    "LANES",
    "LANE_OLDEST",
    "MIRRORED",
    "PENDING",
    "PUBLISHED",
    "REPLAYED",
    "TABLE",
    "WITHDRAWN",
    "Declared",
    "Gauges",
    "KeyGauges",
    "LaneGauges",
    "LaneState",
    "Metrics",
    "Sample",
    "read_page",
]
