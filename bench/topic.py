"""Topic: how many records one has, asked of Kafka itself."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

PATIENCE = 10.0


class Topic:
    """A topic that one contender alone publishes to, and whose records are counted by offsets."""

    def __init__(self, servers: str, name: str, partitions: int) -> None:
        """Name an existing topic."""
        self.name = name
        self._partitions = [TopicPartition(name, partition) for partition in range(partitions)]
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench"})

    def count(self) -> int:
        """Count the records that were ever acknowledged. Raises `confluent_kafka.KafkaException` without an answer."""
        ends = (self._consumer.get_watermark_offsets(at, timeout=PATIENCE)[1] for at in self._partitions)
        return int(sum(ends))

    def close(self) -> None:
        """Leave the cluster."""
        self._consumer.close()
