"""The forwarder: committed deliveries on their way into Kafka."""

from relay.forwarder.forwarder import Forwarder
from relay.forwarder.mirroring import Mirroring
from relay.forwarder.outcome import duration_ms
from relay.forwarder.topics import Topics

__all__ = ["Forwarder", "Mirroring", "Topics", "duration_ms"]
