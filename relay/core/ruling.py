"""The ruling: what a configuration makes of a delivery, told rule by rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core import syskit
from relay.core.errors import Undeliverable
from relay.core.model import Status
from relay.core.routing.explanation import explain

if TYPE_CHECKING:
    from relay.core.model import Delivery, Event, Processed, Replay
    from relay.core.pipeline import Pipeline
    from relay.core.routing.explanation import Finding


@dataclass(frozen=True, slots=True)
class Ruling:
    """What `process` makes of a delivery, and what each rule said on the way.

    `event` is None, and there are no findings, for what cannot be read. There is either `processed`
    or `fate`.
    """

    event: Event | None
    findings: tuple[Finding, ...]
    processed: Processed | None = None
    fate: Undeliverable | None = None

    @property
    def status(self) -> Status:
        """The status with which it is stored: pending, when it has records."""
        if self.processed is None:
            return Status.DEAD
        return Status.PENDING if self.processed.records else Status.DROPPED

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of its records."""
        return tuple(record.topic for record in self.processed.records) if self.processed else ()


def rule_on(delivery: Delivery, pipeline: Pipeline, replay: Replay | None = None) -> Ruling:
    """Send a delivery, which may be a replay, through the pipeline, and tell what every rule says of it.

    Raises KeyError for a source that is not configured.
    """
    try:
        event = syskit.parse(delivery, pipeline.sources[delivery.source])
    except Undeliverable as fate:
        return Ruling(None, (), fate=fate)
    findings = explain(event, pipeline.routes)
    try:
        return Ruling(event, findings, processed=pipeline.copy(delivery, replay))
    except Undeliverable as fate:
        return Ruling(event, findings, fate=fate)
