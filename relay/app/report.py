"""Report: what the parts say of themselves, as rows of health and as gauges."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relay.health import Check, State, is_ready
from relay.keys import State as KeyState
from relay.metrics import Gauges, KeyGauges, LaneGauges, LaneState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.config import Config
    from relay.forwarder import Forwarder, Topics
    from relay.keys import Keys
    from relay.lane import Lane
    from relay.metrics import Metrics
    from relay.registration import Registrar
    from relay.server import Listener
    from relay.spool import Spool

MIB = 1 << 20
NEARLY = 0.9


class Report:
    """Looks at the parts when asked; never at Kafka or the disk.

    Only what keeps a delivery from being stored fails; Kafka, topics and lanes warn, since an
    orchestrator would otherwise take away the one who still stores.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what there is to look at
        self,
        config: Config,
        spool: Spool,
        forwarder: Forwarder,
        topics: Topics,
        listener: Listener,
        keys: Keys,
        registrars: Sequence[Registrar],
        metrics: Metrics,
    ) -> None:
        """Look at these."""
        self._config = config
        self._spool = spool
        self._forwarder = forwarder
        self._topics = topics
        self._listener = listener
        self._keys = keys
        self._registrars = registrars
        self._metrics = metrics

    def checks(self) -> Sequence[Check]:
        """Give a row for each thing that can be wrong, in the order in which an operator would look."""
        return (
            self._draining(),
            *self._keys.checks(),
            self._disk(),
            self._dead_letters(),
            *self._literal_topics(),
            *(self._lane(lane) for lane in self._forwarder.lanes.values()),
            self._duplicates(),
            *self._orphans(),
            *(registrar.check for registrar in self._registrars),
        )

    def gauges(self) -> Gauges:
        """Read everything that goes up and down."""
        usage, now = self._spool.usage, time.time()
        flights = [batch.flight for lane in self._forwarder.lanes.values() for batch in lane.flights]
        since = self._spool.horizon_since
        return Gauges(
            ready=is_ready(self.checks()),
            exactly_once=self._config.kafka.idempotence,
            pending=self._spool.pending,
            spool_bytes=usage.used,
            spool_max_bytes=usage.max_size,
            spool_dead_bytes=usage.dead,
            spool_lost=self._spool.losses.lost,
            spool_doubtful=self._spool.losses.doubtful,
            dedupe_ids=self._spool.horizon[0],
            dedupe_horizon_seconds=_age(since, now),
            flights=len(flights),
            flight_oldest_seconds=max((_age(flight.sent_at, now) for flight in flights), default=0.0),
            requests_in_flight=self._listener.in_flight,
            answers_waiting=self._forwarder.waiting,
            lanes=tuple(self._lane_gauges(lane, now) for lane in self._forwarder.lanes.values()),
            keys=tuple(self._key_gauges(now)),
        )

    def _key_gauges(self, now: float) -> Iterator[KeyGauges]:
        for row in self._keys.rows():
            if row.state is not KeyState.RETIRED:
                left = None if row.retires_at is None else max(0.0, row.retires_at - now)
                used = None if row.last_used is None else _age(row.last_used, now)
                yield KeyGauges(row.source, row.fingerprint, _age(row.first_seen, now), used, left)

    def _draining(self) -> Check:
        if self._listener.draining:
            return Check("listener", State.FAIL, "stopping: no new deliveries are taken")
        return Check("listener", State.OK, f"{self._listener.in_flight} requests in flight")

    def _disk(self) -> Check:
        usage = self._spool.usage
        fill = f"{usage.used / MIB:.1f} of {usage.max_size / MIB:.0f} MiB, {self._spool.pending} pending"
        if self._spool.fault:
            return Check("spool", State.FAIL, self._spool.fault)
        if self._spool.squeezed:
            state = State.FAIL if usage.full else State.WARN
            return Check("spool", state, f"the disk is full: {fill}; give the disk room, and all is as before")
        if usage.full:
            return Check(
                "spool", State.FAIL, f"full: {fill}; it drains as Kafka takes records, or raise spool.max_size"
            )
        return Check("spool", State.OK, fill)

    def _dead_letters(self) -> Check:
        usage = self._spool.usage
        fill = f"{usage.dead_letters}, {usage.dead / MIB:.1f} of {usage.dead_quota / MIB:.0f} MiB"
        if usage.dead >= usage.dead_quota * NEARLY:
            return Check("dead letters", State.WARN, f"{fill}; when that is full, undeliverable ones are refused (503)")
        return Check("dead letters", State.OK, fill)

    def _duplicates(self) -> Check:
        """Tell what was counted since the start: the metrics have it by topic, and the log each flight."""
        doubted, recovered = self._metrics.doubted, f"lane recoveries since the start: {self._metrics.recoveries}"
        if doubtful := self._spool.losses.doubtful:
            said = f"deliveries sent anew after damage to the spool, which may be in Kafka already: {doubtful}"
            recovered = f"{said}; {recovered}"
        if doubted:
            said = f"records that may be in Kafka twice: {doubted}, named in the log (flight.doubtful)"
            return Check("duplicates", State.WARN, f"{said}; {recovered}")
        if not self._config.kafka.idempotence:
            return Check("duplicates", State.OK, f"not known, as kafka.idempotence is off; {recovered}")
        state = State.WARN if doubtful else State.OK
        return Check("duplicates", state, recovered if doubtful else f"no record may be in Kafka twice; {recovered}")

    def _literal_topics(self) -> Iterator[Check]:
        missing = self._topics.missing
        for name, reason in missing.items():
            yield Check(f"topic {name}", State.WARN, reason or "not looked at yet")
        if not missing:
            yield Check("topics", State.OK, "all topics named by rules were found")

    def _orphans(self) -> Iterator[Check]:
        for source, count in self._forwarder.orphans.items():
            yield Check(
                f"source {source}", State.WARN, f"not configured, but {count} deliveries of it were pending at start"
            )

    def _lane_gauges(self, lane: Lane, now: float) -> LaneGauges:
        owed, since = self._forwarder.tally.of(lane.topic), self._forwarder.waiting_since(lane)
        return LaneGauges(lane.topic, lane.state, owed.records, owed.size, _age(since, now))

    def _lane(self, lane: Lane) -> Check:
        """Say how a lane stands: what is wrong and since when, and how much of what age waits."""
        now, flights = time.time(), len(lane.flights)
        gauges = self._lane_gauges(lane, now)
        count, size = gauges.pending_records, f"{gauges.pending_bytes / MIB:.1f} MiB"
        waits = (
            f"{f'1 record ({size}) waits' if count == 1 else f'{count} records ({size}) wait'}, "
            f"the oldest for {gauges.oldest_seconds:.0f} s, {flights} flight{'s' * (flights != 1)}"
        )
        if flights:
            waits += f", the oldest sent {_age(min(batch.flight.sent_at for batch in lane.flights), now):.0f} s ago"
        if lane.trouble:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(lane.since))
            return Check(f"lane {lane.topic}", State.WARN, f"{lane.trouble}; since {since}; {waits}")
        state = State.OK if lane.state is LaneState.READY else State.WARN
        return Check(f"lane {lane.topic}", state, f"{lane.state}; {waits}")


def _age(since: float | None, now: float) -> float:
    """Give how long ago something was; never less than nothing, although the clock may have been set back."""
    return max(0.0, now - since) if since else 0.0
