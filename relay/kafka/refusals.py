"""Which refusal of the broker means what.

aiokafka's `.retriable` is no policy of ours: it says what aiokafka tries again inside. What is in no
table here is curable. A test lists every class of `aiokafka.errors` with its kind, so that one that
is new there has to be decided.
"""

from __future__ import annotations

from aiokafka import errors

from relay.kafka.values import Kind, Refused


class InvalidRecordError(errors.BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types
    """INVALID_RECORD, which aiokafka 0.14 does not know and would give as UnknownError (-1).

    Brokers say it of a record that a compacted topic, or a schema they check, does not admit.
    """

    errno = 87
    message = "INVALID_RECORD"
    description = "The broker found this record invalid."


errors.kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)

CONTENT = frozenset(
    {
        errors.MessageSizeTooLargeError,
        errors.RecordListTooLargeError,
        errors.RecordTooLargeError,
        InvalidRecordError,
    }
)

FORGOTTEN = frozenset(
    {
        errors.OutOfOrderSequenceNumber,
        errors.UnknownProducerId,
        errors.ProducerFenced,
        errors.InvalidProducerEpoch,
        errors.InvalidProducerIdMapping,
    }
)


def refused(error: BaseException) -> Refused:
    """Say what an error of sending means. What is in no table is curable: nothing is lost by waiting."""
    name = getattr(error, "message", None) or type(error).__name__
    if type(error) in CONTENT:
        return Refused(Kind.CONTENT, name)
    if type(error) in FORGOTTEN:
        return Refused(Kind.FORGOTTEN, name)
    # By its arguments: as text, an error of Kafka repeats its name, and not every class of them has one.
    detail = " ".join(map(str, error.args)) if isinstance(error, errors.KafkaError) else str(error)
    return Refused(Kind.CURABLE, f"{name}: {detail}" if detail else name)
