"""Who comes while a newer key may be there and is not fetched yet: put off and not refused, unless it is throttled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.config import FetchKey
from relay.core.errors import Cause, Refusal, Rejected, Unavailable
from relay.core.signature import sign
from relay.ingest import Headers, Ingest
from relay.keys import keyring, pace
from relay.keys.pace import GAPS, Pace
from relay.sandbox import faults
from relay.sandbox.simulated import Part
from tests.keys.conftest import BODY, config_of, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.sandbox.simulated import SimulatedPoint

SELDOM = FetchKey(3600.0, 3600.0)


def test_only_fetches_that_are_asked_for_lengthen_the_gaps() -> None:
    """Those of a short interval never keep a rotation waiting; those of a forger do, until it is quiet."""
    by_itself, asked = Pace(7.0), Pace(3600.0)
    by_itself.begin(0.0, asked=True)
    by_itself.succeeded(changed=False)
    for number in range(1, 9):
        by_itself.begin(number * 7.0, asked=False)
        by_itself.succeeded(changed=False)
        asked.begin(number * 10.0, asked=True)
        asked.succeeded(changed=False)
    assert by_itself.soonest == 56.0 + GAPS[1]
    assert asked.soonest == 80.0 + GAPS[-1]
    asked.begin(80.0 + pace.QUIET, asked=False)
    asked.succeeded(changed=False)
    assert asked.soonest == 80.0 + pace.QUIET + GAPS[0]


def test_no_gap_is_as_long_as_a_request_waits() -> None:
    """However many fetches brought nothing new, the next one has a second left of what a delivery waits for it."""
    one = Pace(3600.0)
    for number in range(20):
        began = number * 10.0
        one.begin(began, asked=True)
        one.succeeded(changed=False)
        assert one.soonest <= began + keyring.PATIENCE - 1.0


async def test_our_own_pace_refuses_nothing(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the key may not be fetched again yet, a new key's delivery is told when to come back."""
    monkeypatch.setattr(pace, "GAPS", (3000.0,))
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        asked = simulated.asked[Part.OPTIONS]
        with pytest.raises(Unavailable) as caught:
            await service.receive(simulated.rotate())
        assert caught.value.cause is Cause.NO_KEY
        assert 2000 < caught.value.retry_after <= 3000
        assert simulated.asked[Part.OPTIONS] == asked


async def test_who_is_throttled_waits_for_no_fetch_but_asks_for_it(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """Whatever is known of the keys it is 429 at once; its fetch comes at the ring's pace, once for all who ask."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        config = config_of(tmp_path, simulated, SELDOM)
        ingest = Ingest(config, None, None, None, service.keys, service.metrics)  # type: ignore[arg-type]  # none is reached
        asked, tried = simulated.asked[Part.OPTIONS], service.ring.source
        new = simulated.rotate().encode()
        headers = Headers([sign(new, BODY)], (), None, lambda: False)
        for _ in range(200):
            with pytest.raises(Rejected) as refused:
                await ingest.receive(config.sources[0], headers, BODY)
            assert refused.value.refusal is Refusal.THROTTLED
        assert service.ring.source is tried
        await until(lambda: new in {key.secret for key in service.ring.source.keys})
        assert simulated.asked[Part.OPTIONS] == asked + 1
        simulated.switch(Part.OPTIONS, faults.status(500))
        headers = Headers([sign(b"a key that nobody gave me", BODY)], (), None, lambda: False)
        with pytest.raises(Rejected):
            await ingest.receive(config.sources[0], headers, BODY)
        await until(lambda: service.ring.fault)
        with pytest.raises(Rejected) as refused:
            await ingest.receive(config.sources[0], headers, BODY)
        assert refused.value.refusal is Refusal.THROTTLED
