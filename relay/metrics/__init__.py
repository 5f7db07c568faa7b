"""Every metric of the relay, declared and documented once."""

from relay.metrics.declared import TABLE, Declared
from relay.metrics.gauges import Gauges, LaneGauges, LaneState
from relay.metrics.metrics import Metrics

__all__ = ["TABLE", "Declared", "Gauges", "LaneGauges", "LaneState", "Metrics"]
