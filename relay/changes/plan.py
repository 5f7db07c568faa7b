"""Plan: what a change would do, found by looking alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from relay.changes.asked import Change, Discarding
from relay.core.errors import Undeliverable
from relay.core.model import Replay, Status, Withdrawal
from relay.core.routing import legal_topic
from relay.spool import Browser, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from relay.changes.asked import Asked, Replaying
    from relay.core.model import Delivery, Processed
    from relay.core.pipeline import Pipeline
    from relay.spool import Kept

PIECE = 8 << 20  # bytes of plans that are held at a time
GONE = "it is not kept: it was never accepted, or has left the spool"


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to one delivery; a replay has the entry to append, and the records to publish.

    `source` is that of the delivery, None when it is not kept. A replay that is given up `waits`. A discard that was
    made with the same words `stands`: that may have been told as failed.
    """

    change: Change
    source: str | None = None
    entry: Entry | None = None
    processed: Processed | None = None
    waits: bool = False
    stands: bool = False

    @property
    def size(self) -> int:
        """The bytes that it holds: the body, and the values of its records."""
        if self.entry is None or self.processed is None:
            return 0
        return len(self.entry.delivery.body) + sum(len(record.value) for record in self.processed.records)

    @classmethod
    def replay(cls, number: int, asked: Replaying, browser: Browser, pipeline: Pipeline) -> Plan:
        """Look at a delivery that is to be replayed, by the rules of `pipeline`. Raises `Unavailable`."""
        kept = browser.find(number)
        if kept is None:
            return cls(Change(number, refused=GONE))
        listed = kept.listed
        dead = listed.status is Status.DEAD
        reason = listed.reason if dead else None
        refused = _hindrance(kept, asked)
        processed = None if refused else _by_rules(kept, asked.topic, pipeline)
        if isinstance(processed, str):
            refused, processed = processed, None
        if processed is None:
            return cls(Change(number, reason, refused=refused), listed.source)
        topics = tuple(record.topic for record in processed.records)
        if asked.dry_run:
            return cls(Change(number, reason, topics), listed.source)
        entry = replace(_entry(kept.delivery, processed, Replay(number, asked.topic)), again=asked.again, of_dead=dead)
        return cls(Change(number, reason, topics), listed.source, entry, processed)

    @classmethod
    def discard(cls, number: int, because: str, browser: Browser, *, at_rest: bool) -> Plan:
        """Look at a delivery that is to be given up: a dead letter, or `at_rest` a replay. Raises `Unavailable`."""
        kept = browser.find(number)
        if kept is None:
            return cls(Change(number, refused=GONE))
        listed = kept.listed
        if listed.status is Status.PENDING and listed.replay_of and not kept.aloft:
            # A lane that has it in memory would publish it all the same.
            refused = None if at_rest else "it is a replay on its way: it is given up only while no relay runs"
            return cls(Change(number, refused=refused), listed.source, waits=True)
        if listed.withdrawn is Withdrawal.DISCARDED and listed.because == because:
            return cls(Change(number, listed.reason), listed.source, stands=True)
        if listed.status is not Status.DEAD:
            what = f"it is {listed.withdrawn or listed.status}: only dead letters are discarded"
            return cls(Change(number, refused=what), listed.source)
        return cls(Change(number, listed.reason), listed.source)


def plans(asked: Asked, spool: Path, pipeline: Pipeline, *, at_rest: bool) -> list[Plan]:
    """Look at deliveries that are asked for, each once, in the order in which they are named; changes nothing.

    `at_rest` is when no relay runs on the spool. It ends early when the plans hold about `PIECE` bytes: then the rest
    is to be asked for again. Raises `Unavailable`.
    """
    found: list[Plan] = []
    size = 0
    with Browser(spool) as browser:
        for number in dict.fromkeys(asked.deliveries):
            if isinstance(asked, Discarding):
                found.append(Plan.discard(number, asked.because, browser, at_rest=at_rest))
            else:
                found.append(Plan.replay(number, asked, browser, pipeline))
            size += found[-1].size
            if size >= PIECE:
                break
    return found


def _hindrance(kept: Kept, asked: Replaying) -> str | None:
    """Say why a delivery is not to be replayed, whatever the rules make of it; None when nothing hinders."""
    listed = kept.listed
    if listed.mirror_of:
        return f"it mirrors the dead letter {listed.mirror_of}: replay that"
    if listed.status is Status.PENDING:
        return "it is pending: on its way already"
    if asked.topic is not None and not legal_topic(asked.topic):
        return f"{asked.topic!r} is no legal topic name"
    if kept.body_swept:
        return "its body has left the spool to make room"
    replayed = kept.replays or listed.withdrawn is Withdrawal.REPLAYED
    if replayed and not asked.again:
        which = f", as delivery {kept.replays[-1]}" if kept.replays else ""
        return f"it was replayed already{which}; only with --again is that done twice"
    return None


def _by_rules(kept: Kept, topic: str | None, pipeline: Pipeline) -> Processed | str:
    """Give the records that a replay publishes, or say why there are none.

    What of a dead letter is in Kafka already is left out, unless a topic is given.
    """
    listed = kept.listed
    if listed.source not in pipeline.sources:
        return f"its source {listed.source} is not configured"
    try:
        processed = pipeline.copy(kept.delivery, Replay(listed.number, topic))
    except Undeliverable as fate:
        return f"it would be dead again, {fate.reason}: {fate.detail}"
    if not processed.records:
        return f"the rule {processed.dropped_by} drops it"
    partly = listed.status is Status.DEAD and topic is None
    there = {record.topic for record in kept.records if partly and not record.reason}
    records = tuple(record for record in processed.records if record.topic not in there)
    return replace(processed, records=records) if records else "all that the rules give is in Kafka already"


def _entry(delivery: Delivery, processed: Processed, replay: Replay) -> Entry:
    """Give the entry of a replay, which came in now: its age is not that of what it repeats."""
    return Entry(
        delivery=replace(delivery, received_at=time.time()),
        event_id=processed.event.id,
        type=processed.event.type,
        dedupe_id=processed.dedupe_id,
        fingerprint=processed.fingerprint,
        status=Status.PENDING,
        topics=tuple(record.topic for record in processed.records),
        copy=replay,
    )
