"""Who is put off and not refused: whoever comes while a newer key may be there and is not fetched yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.config import FetchKey
from relay.core.errors import Cause, Refusal, Rejected, Unavailable
from relay.core.signature import sign
from relay.ingest import Headers, Ingest
from relay.keys import keyring, pace
from relay.keys.pace import GAPS, Pace
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
        assert (caught.value.cause, caught.value.quiet) == (Cause.NO_KEY, False)
        assert 2000 < caught.value.retry_after <= 3000
        assert simulated.asked[Part.OPTIONS] == asked


async def test_who_is_throttled_is_put_off_when_a_newer_key_may_be_there(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a forger's network an authentic delivery is 503 and comes again; nothing is fetched or logged for it."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        config = config_of(tmp_path, simulated, SELDOM)
        ingest = Ingest(config, None, None, None, service.keys, service.metrics)  # type: ignore[arg-type]  # none is reached
        asked = simulated.asked[Part.OPTIONS]
        headers = Headers([sign(simulated.rotate().encode(), BODY)], (), None, lambda: False)
        monkeypatch.setattr(keyring, "FRESH", 3600.0)
        with pytest.raises(Rejected) as refused:
            await ingest.receive(config.sources[0], headers, BODY)
        assert refused.value.refusal is Refusal.THROTTLED
        monkeypatch.setattr(keyring, "FRESH", -1.0)
        with pytest.raises(Unavailable) as caught:
            await ingest.receive(config.sources[0], headers, BODY)
        assert (caught.value.cause, caught.value.quiet) == (Cause.NO_KEY, True)
        assert simulated.asked[Part.OPTIONS] == asked
