"""Retries: why aiokafka tries a batch again, which it does for ever and tells nobody but its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.producer import sender

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError
    from aiokafka.producer.message_accumulator import MessageBatch
    from aiokafka.structs import TopicPartition


class _NotingRetries(sender.SendProduceReqHandler):  # type: ignore[misc]  # aiokafka has no types
    """Notes the error at the place where aiokafka decides to try again; what it decides stays as it is."""

    def _can_retry(self, error: KafkaError, batch: MessageBatch) -> bool:
        again = bool(super()._can_retry(error, batch))
        if again:
            getattr(self._sender, "retried", {})[batch.tp] = error
        return again


# The sender makes one for each request, by this name: there is no other way in. Producers of others note nothing.
sender.SendProduceReqHandler = _NotingRetries


def noted(producer: AIOKafkaProducer) -> dict[TopicPartition, KafkaError]:
    """Give the errors of batches that this producer tries again, by partition, the last of each: filled from now on."""
    retried: dict[TopicPartition, KafkaError] = {}
    producer._sender.retried = retried
    return retried
