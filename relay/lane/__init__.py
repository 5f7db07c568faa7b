"""A lane is one topic's way into Kafka: it publishes, and it recovers."""

from relay.lane.batch import Batch, Fresh
from relay.lane.bookings import Booking
from relay.lane.committed import Committed, Item
from relay.lane.lane import Lane
from relay.lane.permits import Permits
from relay.lane.ports import Cursor, Journals, Kafka, Neighbours, Producer

__all__ = [
    "Batch",
    "Booking",
    "Committed",
    "Cursor",
    "Fresh",
    "Item",
    "Journals",
    "Kafka",
    "Lane",
    "Neighbours",
    "Permits",
    "Producer",
]
