"""Deliveries that are too old when they come in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from relay.core.errors import Reason, Undeliverable
from relay.core.model import Delivery, Envelope, Replay, Source
from relay.core.pipeline import Pipeline
from relay.core.ruling import rule_on
from tests.core.samples import ROUTES, SOURCE, deliver

MOMENT = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC).timestamp()
STRICT = replace(SOURCE, max_age=300.0)


def delivery(stamp: object, came: float, source: Source = STRICT) -> Delivery:
    """Give an authentic delivery with a time stamp, which came in so many seconds after the moment."""
    meta = {"timeStamp": stamp, "idempotencyKey": "one"}
    body = json.dumps({"type": "ProvisioningStarted", "content": {"name": "M"}, "meta": meta}).encode()
    return msgspec.structs.replace(deliver(body, source), received_at=MOMENT + came)


def pipeline(source: Source = STRICT) -> Pipeline:
    """Give the pipeline of one source."""
    return Pipeline({source.name: source}, ROUTES, Envelope())


@pytest.mark.parametrize(
    ("stamp", "came"),
    [
        ("2026-01-31T08:00:00", 300.0),
        ("2026-01-31T08:00:00.999", 300.0),
        ("2026-01-31T09:00:00+01:00", 300.0),
        ("2031-01-31T08:00:00", 0.0),  # of the future: the zone may be assumed wrongly
        (None, 1e9),
        ("yesterday", 1e9),
    ],
)
def test_what_is_young_or_has_no_age_is_published(stamp: object, came: float) -> None:
    """Up to max_age, and whatever has no time stamp that can be read: it cannot have been made older by anybody."""
    assert pipeline().process(delivery(stamp, came)).records


@pytest.mark.parametrize(
    ("stamp", "came"),
    [("2026-01-31T08:00:00", 301.0), ("2026-01-31T09:00:00+01:00", 301.0), ("0001-01-01T00:00:00", 0)],
)
def test_what_is_old_is_dead(stamp: str, came: float) -> None:
    """It is kept with its reason and all that is known of it, so that a repeat is recognised."""
    with pytest.raises(Undeliverable) as caught:
        pipeline().process(delivery(stamp, came))
    fate = caught.value
    good = pipeline(SOURCE).process(delivery(stamp, came, SOURCE))
    assert (fate.reason, fate.event_id, fate.event_type) == (Reason.STALE, "one", "ProvisioningStarted")
    assert (fate.dedupe_id, fate.fingerprint) == (good.dedupe_id, good.fingerprint)
    assert "max_age is 300 s" in fate.detail


def test_the_zone_is_that_of_the_source() -> None:
    """A time stamp without an offset is as old as its source's clock says."""
    zagreb = replace(STRICT, time_zone=ZoneInfo("Europe/Zagreb"))
    with pytest.raises(Undeliverable):
        pipeline(zagreb).process(delivery("2026-01-31T08:00:00", 0.0, zagreb))
    assert pipeline(zagreb).process(delivery("2026-01-31T09:00:00", 300.0, zagreb)).records


def test_a_replay_is_never_stale() -> None:
    """Whoever replays it knows what it is; and the rulings say the same."""
    old = delivery("2026-01-31T08:00:00", 1e6)
    assert pipeline().copy(old, Replay(1)).records
    assert pipeline().copy(old, Replay(1, "anywhere")).records
    fate = rule_on(old, pipeline()).fate
    assert fate is not None
    assert fate.reason is Reason.STALE
    assert rule_on(old, pipeline(), Replay(1)).topics
