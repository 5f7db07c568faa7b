"""The fates: the class of an exception decides what happens to a delivery.

    Fate
    ├── Rejected        the sender's fault, before acceptance: 4xx, counted, never stored
    ├── Undeliverable   authentic, ours to keep, never retried unchanged: 202, a dead letter
    └── Unavailable     temporary: 503 and Retry-After, or wait and retry

One place maps fates to HTTP (`server.answer`). Two map them to the spool: `ingest` for what comes in, and
`forwarder.backlog` for what was pending at start.
"""

from __future__ import annotations

import enum


class Refusal(enum.StrEnum):
    """Why a request was rejected: the closed list behind `relay_deliveries_rejected_total`."""

    BAD_SIGNATURE = "bad_signature"
    MISSING_SIGNATURE = "missing_signature"
    REPEATED_SIGNATURE = "repeated_signature"
    MALFORMED_SIGNATURE = "malformed_signature"
    AMBIGUOUS_CONTENT = "ambiguous_content"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_INCOMPLETE = "body_incomplete"
    ENCODED_BODY = "encoded_body"
    UNKNOWN_PATH = "unknown_path"
    METHOD = "method"
    UNREADABLE_REQUEST = "unreadable_request"
    BAD_QUERY = "bad_query"
    FOREIGN_NETWORK = "foreign_network"
    THROTTLED = "throttled"


class Reason(enum.StrEnum):
    """Why a delivery is dead: the closed list behind `relay_deliveries_dead_total`."""

    MALFORMED = "malformed"
    UNROUTABLE = "unroutable"
    ILLEGAL_TOPIC = "illegal_topic"
    TOO_LARGE = "too_large"
    ID_CONFLICT = "id_conflict"
    REFUSED = "refused"
    STALE = "stale"


class Cause(enum.StrEnum):
    """Why a delivery could not be stored now: the closed list behind `relay_deliveries_unavailable_total`."""

    BUSY = "busy"
    SPOOL_FULL = "spool_full"
    SPOOL_ERROR = "spool_error"
    DEAD_QUOTA = "dead_quota"
    NO_KEY = "no_key"
    STOPPING = "stopping"


class Fate(Exception):  # noqa: N818 - a fate is what happens next, not only an error
    """What decides a delivery's way when it does not go straight through."""


class Rejected(Fate):
    """The sender's fault, before acceptance: answered with 4xx, counted, never stored."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        """Keep the closed reason, and a detail for the log that holds nothing the sender wrote."""
        super().__init__(detail or refusal.value)
        self.refusal = refusal
        self.detail = detail
        self.body: bytes | None = None
        """What was read, for the doctor alone."""


class Undeliverable(Fate):
    """Authentic, ours to keep, and never to be retried unchanged: a dead letter with its reason.

    `dedupe_id`, `event_id`, `type` and `fingerprint` are what could be read of it, so that a
    repeat is recognised and an operator can find it.
    """

    def __init__(  # noqa: PLR0913 - all that is known of a dead letter, each by keyword
        self,
        reason: Reason,
        detail: str,
        *,
        event_id: str,
        dedupe_id: str,
        fingerprint: bytes,
        event_type: str | None = None,
    ) -> None:
        """Keep the closed reason, a sentence for people, and the identity of the delivery."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.event_id = event_id
        self.dedupe_id = dedupe_id
        self.fingerprint = fingerprint
        self.event_type = event_type


class Unavailable(Fate):
    """Temporary: the delivery could not be stored now, and asking again may help."""

    def __init__(
        self,
        detail: str,
        *,
        retry_after: int = 1,
        busy: bool = False,
        cause: Cause = Cause.SPOOL_ERROR,
    ) -> None:
        """Keep a sentence for the log, the seconds to wait, and the closed cause; `busy` is load, thus 429."""
        super().__init__(detail)
        self.retry_after = retry_after
        self.busy = busy
        self.cause = Cause.BUSY if busy else cause
