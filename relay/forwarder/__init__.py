"""The forwarder: committed deliveries on their way into Kafka."""

from relay.forwarder.forwarder import Forwarder

__all__ = ["Forwarder"]
