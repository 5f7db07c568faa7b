"""What each error of Kafka means: no class is left to chance."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from aiokafka import errors

from relay.kafka import Kind, Refused
from relay.kafka.refusals import InvalidRecordError, refused

CONTENT = {"MessageSizeTooLargeError", "RecordListTooLargeError", "RecordTooLargeError"}
FORGOTTEN = {
    "InvalidProducerEpoch",
    "InvalidProducerIdMapping",
    "OutOfOrderSequenceNumber",
    "ProducerFenced",
    "UnknownProducerId",
}
# Each was weighed: the batch may be taken later, thus the flight is kept.
_WEIGHED = """
    AuthenticationFailedError AuthenticationMethodNotSupported BrokerNotAvailableError BrokerResponseError
    Cancelled ClusterAuthorizationFailedError CommitFailedError ConcurrentTransactions ConsumerStoppedError
    CorrelationIdError CorruptRecordException DelegationTokenAuthDisabled DelegationTokenAuthorizationFailed
    DelegationTokenExpired DelegationTokenNotFound DelegationTokenOwnerMismatch DelegationTokenRequestNotAllowed
    DuplicateSequenceNumber FetchSessionIdNotFound GroupAuthorizationFailedError
    GroupCoordinatorNotAvailableError GroupIdNotFound GroupLoadInProgressError IllegalArgumentError
    IllegalGenerationError IllegalOperation IllegalSaslStateError IllegalStateError IncompatibleBrokerVersion
    InconsistentGroupProtocolError InvalidCommitOffsetSizeError InvalidConfigurationError
    InvalidFetchRequestError InvalidFetchSessionEpoch InvalidGroupIdError InvalidPartitionsError
    InvalidPrincipalType InvalidReplicationAssignmentError InvalidReplicationFactorError InvalidRequestError
    InvalidRequiredAcksError InvalidSessionTimeoutError InvalidTimestampError InvalidTopicError
    InvalidTransactionTimeout InvalidTxnState KafkaConfigurationError KafkaConnectionError KafkaError
    KafkaProtocolError KafkaStorageError KafkaTimeoutError KafkaUnavailableError LeaderNotAvailableError
    ListenerNotFound LogDirNotFound MemberIdRequired MetadataEmptyBrokerList NoBrokersAvailable NoError
    NoOffsetForPartitionError NodeNotReadyError NonEmptyGroup NotControllerError NotCoordinatorForGroupError
    NotEnoughReplicasAfterAppendError NotEnoughReplicasError NotLeaderForPartitionError
    OffsetMetadataTooLargeError OffsetOutOfRangeError OperationNotAttempted PolicyViolationError ProducerClosed
    QuotaViolationError ReassignmentInProgress RebalanceInProgressError ReplicaNotAvailableError
    RequestTimedOutError SaslAuthenticationFailed SecurityDisabled StaleControllerEpochError
    StaleLeaderEpochCodeError StaleMetadata TooManyInFlightRequests TopicAlreadyExistsError
    TopicAuthorizationFailedError TransactionCoordinatorFenced TransactionalIdAuthorizationFailed UnknownError
    UnknownMemberIdError UnknownTopicOrPartitionError UnrecognizedBrokerVersion UnsupportedCodecError
    UnsupportedForMessageFormatError UnsupportedSaslMechanismError UnsupportedVersionError
"""
CURABLE = set(_WEIGHED.split())
CLASSES: set[type[Exception]] = {
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)
} - {InvalidRecordError}


def test_every_class_is_weighed() -> None:
    """A class that is new in aiokafka has to be put into one of the three lists before it is relied on."""
    assert {cls.__name__ for cls in CLASSES} == CONTENT | FORGOTTEN | CURABLE
    assert len(CONTENT) + len(FORGOTTEN) + len(CURABLE) == len(CLASSES)


@pytest.mark.parametrize("cls", sorted(CLASSES, key=repr))
def test_each_class_has_its_kind(cls: type[Exception]) -> None:
    """The kind of each class is the one of its list, and the error is told in Kafka's words."""
    kinds = {**dict.fromkeys(CONTENT, Kind.CONTENT), **dict.fromkeys(FORGOTTEN, Kind.FORGOTTEN)}
    told = refused(cls())
    assert told.kind is kinds.get(cls.__name__, Kind.CURABLE)
    assert told.error.startswith(getattr(cls, "message", None) or cls.__name__)


def test_an_invalid_record_is_of_the_content() -> None:
    """INVALID_RECORD (87), which aiokafka would give as an unknown error, is known and of the content."""
    assert refused(errors.for_code(87)()) == Refused(Kind.CONTENT, "INVALID_RECORD")


@pytest.mark.parametrize("error", [TimeoutError(), OSError("no route"), asyncio.IncompleteReadError(b"", 1)])
def test_what_is_not_of_kafka_is_curable(error: Exception) -> None:
    """Nothing is lost by waiting, and a refusal always has words."""
    told = refused(error)
    assert told.kind is Kind.CURABLE
    assert told.error


def test_a_class_derived_from_one_of_the_content_is_not_of_the_content() -> None:
    """Only what is listed itself may cost a record: what is derived from it is curable until it is weighed."""

    class Newer(errors.MessageSizeTooLargeError):  # type: ignore[misc] # aiokafka has no types
        """A class of a later version."""

    assert refused(Newer()).kind is Kind.CURABLE
