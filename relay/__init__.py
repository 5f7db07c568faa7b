"""The relay: signed Syskit Point webhooks in, CloudEvents on Kafka out."""

__version__ = "0.1.0"
