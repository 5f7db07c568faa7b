"""Age: how old a delivery says it is, which the signature covers, when it came in."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from relay.core.errors import Reason, Undeliverable

if TYPE_CHECKING:
    from relay.core.model import Delivery, Event


def check_age(delivery: Delivery, max_age: float, event: Event, dedupe_id: str, fingerprint: bytes) -> None:
    """Raise Undeliverable (stale) for what was more than `max_age` seconds old when it came in.

    The clock is `received_at`, so a delivery is as old after a restart. One without a readable time stamp, or one of
    the future, has no age.
    """
    if event.time is None:
        return
    stamped = datetime.fromisoformat(f"{event.time[:19]}+00:00").timestamp()
    age = delivery.received_at - stamped
    if age > max_age:
        raise Undeliverable(
            Reason.STALE,
            f"its time stamp {event.time} was {age:.0f} s old when it came in, and max_age is {max_age:.0f} s",
            event_id=event.id,
            dedupe_id=dedupe_id,
            fingerprint=fingerprint,
            event_type=event.type,
        )
