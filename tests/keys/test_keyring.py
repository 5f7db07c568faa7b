"""Keys in service: a rotation refuses nothing, a flood asks for little, what is not known is not called wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from relay.config import FetchKey
from relay.core.errors import Cause, Rejected, Unavailable
from relay.core.signature import fingerprint
from relay.health import State as Health
from relay.keys import Fetching, Retiring, file, keyring
from relay.sandbox import faults
from relay.sandbox.simulated import Part
from tests.keys.conftest import BODY, NAME, serving, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from relay.sandbox.simulated import SimulatedPoint
    from tests.keys.conftest import Service

SELDOM = FetchKey(3600.0, 3600.0)


async def fate(receiving: Awaitable[str]) -> str:
    """Say what became of a request."""
    try:
        await receiving
    except Rejected:
        return "401"
    except Unavailable as unavailable:
        return "503" if unavailable.cause is Cause.NO_KEY and unavailable.retry_after >= 1 else "unexpected"
    return "202"


async def fetched(service: Service) -> None:
    """Wait for the first key."""
    await until(lambda: service.ring.fetched_at)


async def test_the_key_is_fetched_at_start_and_by_the_first_delivery(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """A delivery that comes before the first key waits for it."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        assert service.ring.source.keys == ()
        assert await service.receive(simulated.key) == fingerprint(simulated.key.encode())


async def test_a_rotation_refuses_nothing(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """Deliveries under the new key wait for one fetch together, while those under the old one pass."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        old, asked = simulated.key, simulated.asked[Part.OPTIONS]
        new = simulated.rotate()
        keys = [new, old] * 40
        ids = await asyncio.gather(*(service.receive(key) for key in keys))
        assert ids == [fingerprint(key.encode()) for key in keys]
        assert simulated.asked[Part.OPTIONS] == asked + 1


async def test_rotations_in_a_row_refuse_nothing(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """Also the key after the next is waited for, although fetches are not made at will."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        for _ in range(3):
            new = simulated.rotate()
            assert await service.receive(new) == fingerprint(new.encode())


async def test_a_forger_is_refused_after_a_fetch(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """What fits no key of now is a forgery: 401, once Syskit Point was asked."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        asked = simulated.asked[Part.OPTIONS]
        assert await fate(service.receive(str(uuid4()))) == "401"
        assert simulated.asked[Part.OPTIONS] == asked + 1


async def test_a_flood_of_forgeries_is_no_flood_of_fetches(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come: few fetches, ever fewer; at most so many wait, and authentic deliveries do not."""
    monkeypatch.setattr(keyring, "PATIENCE", 0.2)
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        asked = simulated.asked[Part.OPTIONS]
        told: Counter[str] = Counter()
        for _ in range(5):
            flood = [asyncio.create_task(fate(service.receive(str(uuid4())))) for _ in range(300)]
            await asyncio.sleep(0)
            own = asyncio.create_task(service.receive(simulated.key))
            await asyncio.sleep(0)
            assert own.done()
            told.update(await asyncio.gather(*flood))
        assert simulated.asked[Part.OPTIONS] <= asked + 2
        assert told.keys() <= {"401", "503"}


async def test_more_than_may_wait_are_put_off_and_not_refused(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """A hundred wait; the rest of a burst under a new key is told to come back, none that it is forged."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        new = simulated.rotate()
        told = Counter(await asyncio.gather(*(fate(service.receive(new)) for _ in range(keyring.WAITING + 30))))
        assert told == {"202": keyring.WAITING, "503": 30}


@pytest.mark.parametrize(("bound", "waiting"), [(3 * len(BODY), 3), (1, 1)])
async def test_what_waits_is_bounded_in_bytes(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch, bound: int, waiting: int
) -> None:
    """A few large bodies count as many small ones; and one may always wait."""
    monkeypatch.setattr(keyring, "HELD", bound)
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        new = simulated.rotate()
        told = Counter(await asyncio.gather(*(fate(service.receive(new)) for _ in range(waiting + 2))))
        assert told == {"202": waiting, "503": 2}


@pytest.mark.parametrize("fault", [faults.status(500), faults.status(403), faults.key(""), faults.not_json])
async def test_a_key_that_cannot_be_fetched_puts_off(
    tmp_path: Path, simulated: SimulatedPoint, fault: faults.Fault
) -> None:
    """While Syskit Point gives no key, unknown signatures get 503, known keys pass, and health tells it."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        old = simulated.key
        simulated.switch(Part.OPTIONS, fault)
        new = simulated.rotate()
        assert await fate(service.receive(new)) == "503"
        assert await fate(service.receive(old)) == "202"
        checks = {check.name: check.state for check in service.keys.checks()}
        assert checks == {f"source {NAME}": Health.OK, f"key of {NAME}": Health.WARN}
        simulated.heal()
        await service.keys.answer(Fetching())
        assert await fate(service.receive(new)) == "202"


async def test_a_slow_fetch_puts_off(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer than a request may; what was not found out by then is not called forged."""
    monkeypatch.setattr(keyring, "PATIENCE", 1.5)
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        simulated.switch(Part.OPTIONS, faults.silent)
        assert await fate(service.receive(simulated.rotate())) == "503"


async def test_without_any_key_nothing_is_refused(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """No key yet is 503 and not ready, whoever asks."""
    simulated.switch(Part.OPTIONS, faults.status(503))
    async with serving(tmp_path, simulated, SELDOM) as service:
        assert await fate(service.receive(simulated.key)) == "503"
        (check, _) = service.keys.checks()
        assert check.stops
        assert "no key yet" in check.detail


async def test_fetched_keys_survive_a_restart_without_the_api(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """Old and new key are good after a restart while Syskit Point is away, and so is when they were used."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        old = simulated.key
        new = simulated.rotate()
        await service.receive(old)
        await service.receive(new)
        before = service.keys.rows()
    simulated.switch(Part.OPTIONS, faults.cut)
    simulated.switch(Part.TOKEN, faults.cut)
    async with serving(tmp_path, simulated, SELDOM) as service:
        assert service.keys.rows() == before
        assert [await fate(service.receive(key)) for key in (old, new)] == ["202", "202"]


async def test_a_damaged_file_is_set_aside_and_told(
    tmp_path: Path, simulated: SimulatedPoint, log: list[MutableMapping[str, object]]
) -> None:
    """The relay starts, says what it lost, keeps the file for a person, and fetches anew."""
    path = file.path_of(tmp_path / "spool.db")
    path.write_text("{")
    async with serving(tmp_path, simulated, SELDOM) as service:
        (line,) = [line for line in log if line["event"] == "keys.damaged"]
        assert "retired again" in str(line["hint"])
        assert Path(str(line["set_aside"])).read_text() == "{"  # noqa: ASYNC240 - a test may block
        await service.receive(simulated.key)


async def test_a_retired_key_never_comes_back(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """Retired by hand it is out at once, for ever, also when Syskit Point still gives it, until that has another."""
    leaked = simulated.key
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        await service.keys.answer(Retiring(fingerprint(leaked.encode())))
        assert await fate(service.receive(leaked)) == "503"
    async with serving(tmp_path, simulated, SELDOM, keys=[leaked]) as service:
        assert service.ring.source.keys == ()
        with pytest.raises(Unavailable, match="retired by hand"):
            await service.keys.answer(Fetching())
        assert await fate(service.receive(leaked)) == "503"
        new = simulated.rotate()
        await service.keys.answer(Fetching())
        assert await fate(service.receive(new)) == "202"


async def test_a_configured_key_that_was_retired_is_told(
    tmp_path: Path, simulated: SimulatedPoint, log: list[MutableMapping[str, object]]
) -> None:
    """The configuration does not overrule the person who retired a key; the log and health say what to do."""
    leaked, other = str(uuid4()), str(uuid4())
    async with serving(tmp_path, simulated, keys=[leaked, other]) as service:
        await service.keys.answer(Retiring(fingerprint(leaked.encode())))
        assert [await fate(service.receive(key)) for key in (leaked, other)] == ["401", "202"]
    async with serving(tmp_path, simulated, keys=[leaked, other]) as service:
        assert [await fate(service.receive(key)) for key in (leaked, other)] == ["401", "202"]
        (line,) = [line for line in log if line["event"] == "key.refused"]
        assert line["hint"] == "take it out of sources.contoso.keys"
        assert any(check.state is Health.WARN and "retired by hand" in check.detail for check in service.keys.checks())


async def test_an_old_key_ends_by_itself(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """When the overlap is over the old key is out, without a restart or a fetch."""
    async with serving(tmp_path, simulated, FetchKey(3600.0, 0.3)) as service:
        await fetched(service)
        old = simulated.key
        await service.receive(simulated.rotate())
        await until(lambda: [key.id for key in service.ring.source.keys] == [fingerprint(simulated.key.encode())])
        assert await fate(service.receive(old)) == "401"


async def test_the_key_is_looked_at_by_itself(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """A rotation is found at the interval, also when no delivery comes; the old key is still good then."""
    async with serving(tmp_path, simulated, FetchKey(1.0, 3600.0)) as service:
        await fetched(service)
        new = simulated.rotate().encode()
        await until(lambda: {key.secret for key in service.ring.source.keys} > {new})


async def test_retry_after_is_honoured(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """What Syskit Point asks for is told on: nothing is fetched before, and the sender may come after it."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        simulated.switch(Part.OPTIONS, faults.status(503, retry_after="300"))
        assert await fate(service.receive(str(uuid4()))) == "503"
        asked = simulated.asked[Part.OPTIONS]
        with pytest.raises(Unavailable) as caught:
            await service.receive(str(uuid4()))
        assert 290 < caught.value.retry_after <= 300
        assert simulated.asked[Part.OPTIONS] == asked


async def test_no_key_is_ever_logged(
    tmp_path: Path, simulated: SimulatedPoint, log: list[MutableMapping[str, object]]
) -> None:
    """A key goes by its fingerprint, whatever happens to it."""
    keys = [simulated.key]
    async with serving(tmp_path, simulated, SELDOM) as service:
        await fetched(service)
        keys.append(simulated.rotate())
        await service.receive(keys[-1])
        await service.keys.answer(Retiring(fingerprint(keys[0].encode())))
        shown = f"{log} {service.keys.rows()} {list(service.keys.checks())} {service.ring.source}"
    assert {line["event"] for line in log} >= {"key.added", "key.retired"}
    assert not any(key in shown for key in keys)
