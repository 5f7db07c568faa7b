"""Ingest: the path of a delivery from headers and body to its receipt.

    authenticate -> process -> append, which hands it to the lanes -> wait for Kafka -> receipt

This is the one door for every edge: what speaks HTTP calls `receive` and maps the fates it raises to
statuses. It is also where an undeliverable one becomes a dead letter in the spool (what was pending
at start and is undeliverable by today's rules becomes one in `forwarder.backlog`).
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import structlog

from relay.config import After
from relay.core.errors import Refusal, Rejected, Unavailable, Undeliverable
from relay.core.model import Receipt, Signs, Status
from relay.core.signature import algorithm_matches, authenticate, other_reading_verifies
from relay.forwarder import duration_ms
from relay.spool import Entry, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.config import Config
    from relay.core.model import Delivery, Placed, Processed, Source
    from relay.core.pipeline import Pipeline
    from relay.forwarder import Forwarder
    from relay.keys import Keys
    from relay.keys.keyring import Keyring
    from relay.lane import Committed
    from relay.metrics import Metrics
    from relay.spool import Appended, Fact, Spool

log = structlog.get_logger()

OTHER_READING_INTERVAL = 1.0  # seconds between two tests of the other reading: a forger must not have us pay for more
TOO_MANY = "more requests than listen.max_in_flight"
MISMATCH_INTERVAL = 60.0  # seconds between two warnings of one source's Algorithm header; all are counted


class Headers(NamedTuple):
    """The headers that mean something to the relay, each with all its values, as received.

    `may_misfit` is asked, once, when the signature turns out to fit no key: False when too many of its network's did.
    """

    signatures: Sequence[str]
    algorithms: Sequence[str]
    traceparent: str | None
    may_misfit: Callable[[], bool]


class Ingest:
    """Takes deliveries in. Nothing is acknowledged before it is on disk."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it takes
        self, config: Config, pipeline: Pipeline, spool: Spool, forwarder: Forwarder, keys: Keys, metrics: Metrics
    ) -> None:
        """Take deliveries for the sources of `pipeline`."""
        self._pipeline = pipeline
        self._spool = spool
        self._forwarder = forwarder
        self._keys = keys
        self._metrics = metrics
        self._after = config.ack.after
        self._max_in_flight = config.listen.max_in_flight
        self._storing = 0
        self._told_at: dict[tuple[str, str], float] = {}

    async def receive(self, source: Source, headers: Headers, body: bytes) -> Receipt:
        """Authenticate one request, store it, and wait for Kafka as long as makes sense: its receipt.

        Raises `Rejected` before acceptance, and `Unavailable` when it could not be stored, or its key not be fetched.
        Everything else is accepted, whatever becomes of it. A repeat waits for the first one's outcome.
        """
        if self.is_full:
            raise Unavailable(TOO_MANY, busy=True)
        ring = self._keys.ring(source)
        try:
            delivery = self._authenticate(ring.source, headers, body)
        except Rejected as rejected:
            delivery = await self._authenticate_anew(ring, headers, body, rejected)
        ring.used[delivery.key_id] = delivery.received_at
        entry, processed = self._process(delivery)
        appended = await self._append(entry, processed)
        committed = self._forwarder.find(appended.number)
        if committed and self._after is After.PUBLISHED:
            committed.awaited |= not appended.duplicate
            await self._forwarder.wait(committed)
        return await self._receipt(entry, appended, committed)

    @property
    def is_full(self) -> bool:
        """Tell whether as many wait to be stored as may: all of them authentic, so that strangers fill nothing."""
        return self._storing >= self._max_in_flight

    def _authenticate(self, source: Source, headers: Headers, body: bytes) -> Delivery:
        delivery = authenticate(
            source,
            headers.signatures,
            body,
            algorithms=headers.algorithms,
            received_at=time.time(),
            traceparent=headers.traceparent,
        )
        if not algorithm_matches(headers.algorithms):
            self._metrics.algorithm_mismatch(source.name)
            if self._seldom("algorithm", source, MISMATCH_INTERVAL):
                log.warning("algorithm.mismatched", source=source.name, headers=len(headers.algorithms))
        return delivery

    async def _authenticate_anew(self, ring: Keyring, headers: Headers, body: bytes, rejected: Rejected) -> Delivery:
        """Authenticate under keys that are new since; one whose network fails too often waits for none, and asks."""
        if not headers.may_misfit():
            if rejected.refusal is Refusal.BAD_SIGNATURE:
                ring.ask()
            raise Rejected(Refusal.THROTTLED)
        try:
            return self._authenticate(await ring.renewed(ring.source, rejected, len(body)), headers, body)
        except Rejected as still:
            self._test_other_reading(ring.source, headers, body, still)
            raise

    def _process(self, delivery: Delivery) -> tuple[Entry, Processed | None]:
        """Find the event and its records, or the reason why there are none: a dead letter."""
        try:
            processed = self._pipeline.process(delivery)
        except Undeliverable as fate:
            return _dead(delivery, fate), None
        if processed.event.time is None:
            self._metrics.time_unreadable(delivery.source)
        return _accepted(delivery, processed), processed

    async def _append(self, entry: Entry, processed: Processed | None) -> Appended:
        """Put it on disk. What is fresh is handed on from within the commit, so that nothing can come between."""
        arrived = time.monotonic()

        def on_disk(appended: Appended) -> None:
            source = entry.delivery.source
            self._metrics.accepted(source)
            log.debug("delivery.accepted", source=source, delivery=appended.number, id=entry.event_id)
            if processed and appended.status is Status.PENDING:
                self._forwarder.add(appended.number, entry.delivery, processed, arrived)
            else:
                self._conclude(entry, appended, processed, arrived)

        self._storing += 1
        try:
            return await self._spool.append(entry, on_disk, processed.records if processed else ())
        finally:
            self._storing -= 1

    def _conclude(self, entry: Entry, appended: Appended, processed: Processed | None, arrived: float) -> None:
        """Count and log a delivery that came to its end when it was stored."""
        fields = {
            "source": entry.delivery.source,
            "delivery": appended.number,
            "id": entry.event_id,
            "type": entry.type,
            "routes": processed.routes if processed else (),
            "answered": appended.status,
            "duration_ms": duration_ms(entry.delivery.received_at, arrived),
        }
        if appended.status is Status.DROPPED:
            self._metrics.dropped(entry.delivery.source, appended.detail or "")
            log.info("delivery.dropped", route=appended.detail, **fields)
        elif appended.reason:
            self._metrics.dead(entry.delivery.source, appended.reason)
            log.warning("delivery.dead", reason=appended.reason, detail=appended.detail, **fields)

    async def _receipt(self, entry: Entry, appended: Appended, committed: Committed | None) -> Receipt:
        """Say what has become of it so far: as memory knows it, else as the spool does."""
        records: tuple[Placed, ...] = ()
        status, reason = appended.status, appended.reason
        if committed:
            status, reason, records = committed.status, committed.reason, committed.places
        elif fact := await self._look_up(appended):
            status, reason, records = fact.status, fact.reason, fact.records
        word = "stored" if status is Status.PENDING else status.value
        if appended.duplicate:
            self._metrics.duplicate(entry.delivery.source)
            log.info(
                "delivery.duplicate",
                source=entry.delivery.source,
                delivery=appended.number,
                id=entry.event_id,
                type=entry.type,
                first=word,
            )
            return Receipt(appended.number, entry.event_id, "duplicate", records, reason, first=word)
        if committed:
            committed.tell(word)
        if status is Status.PENDING:  # its settlement, which would say so too, may be far away
            self._spool.note(Told(word, time.time(), appended.number))
        return Receipt(appended.number, entry.event_id, word, records, reason)

    async def _look_up(self, appended: Appended) -> Fact | None:
        """Ask the spool what became of a delivery, when the answer to the append may be old; None if it cannot say."""
        if appended.duplicate or appended.status is Status.PENDING:
            with suppress(Unavailable):
                return await self._spool.fact(appended.number)
        return None

    def _test_other_reading(self, source: Source, headers: Headers, body: bytes, rejected: Rejected) -> None:
        """Tell, from a sample of the refused, whether the other setting of `signs` would fit."""
        doubtful = rejected.refusal in (Refusal.BAD_SIGNATURE, Refusal.AMBIGUOUS_CONTENT)
        if not doubtful or not self._seldom("reading", source, OTHER_READING_INTERVAL):
            return
        if other_reading_verifies(source, headers.signatures, body):
            self._metrics.other_reading(source.name)
            other = Signs.CONTENT if source.signs is Signs.BODY else Signs.BODY
            rejected.detail = f"the signature fits the {other}: set sources.{source.name}.signs to {other}"

    def _seldom(self, what: str, source: Source, interval: float) -> bool:
        """Tell whether something may be done again for a source, and take it as done."""
        now = time.monotonic()
        if now - self._told_at.get((what, source.name), -interval) < interval:
            return False
        self._told_at[what, source.name] = now
        return True


def _accepted(delivery: Delivery, processed: Processed) -> Entry:
    return Entry(
        delivery=delivery,
        event_id=processed.event.id,
        type=processed.event.type,
        dedupe_id=processed.dedupe_id,
        fingerprint=processed.fingerprint,
        status=Status.PENDING if processed.records else Status.DROPPED,
        detail=processed.dropped_by,
        topics=tuple(record.topic for record in processed.records),
    )


def _dead(delivery: Delivery, fate: Undeliverable) -> Entry:
    return Entry(
        delivery=delivery,
        event_id=fate.event_id,
        type=fate.event_type,
        dedupe_id=fate.dedupe_id,
        fingerprint=fate.fingerprint,
        status=Status.DEAD,
        reason=fate.reason,
        detail=fate.detail,
    )
