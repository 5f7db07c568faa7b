"""Kafka behind a typed face; aiokafka is imported in this room only."""

from relay.kafka.cluster import Cluster
from relay.kafka.history import History, Place, Written
from relay.kafka.producer import Producer, partition_of, record_size
from relay.kafka.values import (
    Acknowledged,
    Hurried,
    Identity,
    KafkaUnavailable,
    Kind,
    Outcome,
    Refused,
    Topic,
    TopicMissing,
)

__all__ = [
    "Acknowledged",
    "Cluster",
    "History",
    "Hurried",
    "Identity",
    "KafkaUnavailable",
    "Kind",
    "Outcome",
    "Place",
    "Producer",
    "Refused",
    "Topic",
    "TopicMissing",
    "Written",
    "partition_of",
    "record_size",
]
