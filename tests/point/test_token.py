"""Tokens: asked for once for all, renewed in time, and with what proves who the relay is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.config import Secret
from relay.point import Point, PointError
from relay.point.token import Tokens
from relay.point.wire import Wire
from relay.sandbox import faults
from relay.sandbox.simulated import Part
from tests.keys.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relay.sandbox.simulated import SimulatedPoint


class Clock:
    """A clock that is set."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture(name="clock")
def fixture_clock() -> Clock:
    """Give a clock that stands."""
    return Clock()


@pytest.fixture(name="tokens")
async def fixture_tokens(simulated: SimulatedPoint, clock: Clock) -> AsyncIterator[Tokens]:
    """Give tokens whose life of 1000 s goes by that clock."""
    simulated.authority.life = 1000.0
    async with Wire(allow_private=True) as wire:
        tokens = Tokens(simulated.config(), wire, clock)
        yield tokens
        await tokens.close()


async def test_a_token_is_kept_for_four_fifths_of_its_life(
    tokens: Tokens, simulated: SimulatedPoint, clock: Clock
) -> None:
    """It is not asked for again before 80 %, and is at 80 %."""
    first = await tokens.current()
    clock.now += 799.9
    assert await tokens.current() == first
    clock.now += 0.2
    assert await tokens.current() == first
    async with asyncio.timeout(30.0):
        while await tokens.current() == first:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.01)
    assert simulated.authority.granted == 2


async def test_the_token_before_serves_while_there_is_no_new_one(
    tokens: Tokens, simulated: SimulatedPoint, clock: Clock
) -> None:
    """An authority that is away is a log line until the token's end, and an error from then on."""
    first = await tokens.current()
    simulated.switch(Part.TOKEN, faults.entra(7000222))
    clock.now += 999.0
    with capture_logs() as logs:
        assert await tokens.current() == first
        await until(lambda: bool(logs))
    (line,) = logs
    assert line["event"] == "token.kept"
    assert "AADSTS7000222" in line["error"]
    assert first not in str(line)
    clock.now += 1.0
    with pytest.raises(PointError, match="AADSTS7000222"):
        await tokens.current()


async def test_nobody_waits_for_a_new_token_while_the_one_before_is_good(
    tokens: Tokens, simulated: SimulatedPoint, clock: Clock
) -> None:
    """An authority that does not answer holds nobody up, and is asked by one request."""
    first = await tokens.current()
    simulated.switch(Part.TOKEN, faults.silent)
    clock.now += 900.0
    async with asyncio.timeout(5.0):  # far less than a request may take
        assert [await tokens.current() for _ in range(3)] == [first] * 3
    await until(lambda: simulated.asked[Part.TOKEN] == 2)


async def test_a_token_that_was_forgotten_does_not_come_back(tokens: Tokens, simulated: SimulatedPoint) -> None:
    """What the API refused is not given again, not even when there is no other; a newer one stays."""
    first = await tokens.current()
    tokens.forget(first)
    simulated.switch(Part.TOKEN, faults.entra(7000222), times=1)
    with pytest.raises(PointError):
        await tokens.current()
    second = await tokens.current()
    tokens.forget(first)
    assert await tokens.current() == second


async def test_many_wait_for_one_renewal(tokens: Tokens, simulated: SimulatedPoint) -> None:
    """All who need a token at once get the same one, and share an error too."""
    simulated.switch(Part.TOKEN, faults.entra(7000215), times=1)
    errors = await asyncio.gather(*(tokens.current() for _ in range(20)), return_exceptions=True)
    assert {type(error) for error in errors} == {PointError}
    assert simulated.asked[Part.TOKEN] == 1
    assert len(set(await asyncio.gather(*(tokens.current() for _ in range(20))))) == 1
    assert simulated.authority.granted == 1


async def test_who_leaves_takes_no_token_from_the_others(tokens: Tokens, simulated: SimulatedPoint) -> None:
    """The renewal outlives the one who began it."""
    began, waits = (asyncio.create_task(tokens.current()) for _ in range(2))
    await asyncio.sleep(0)
    began.cancel()
    assert await waits
    assert began.cancelled()
    assert simulated.asked[Part.TOKEN] == 1


async def test_a_revoked_token_is_renewed_once(point: Point, simulated: SimulatedPoint) -> None:
    """A 401 is met with a new token, and a second one is told."""
    await point.signature_key()
    simulated.authority.revoke()
    assert (await point.signature_key()).decode() == simulated.key
    assert simulated.authority.granted == 2
    simulated.switch(Part.OPTIONS, faults.status(401))
    before = simulated.asked[Part.OPTIONS]
    with pytest.raises(PointError, match="401"):
        await point.signature_key()
    assert simulated.asked[Part.OPTIONS] == before + 2
    assert simulated.authority.granted == 3


async def test_the_federated_token_is_read_for_every_request(simulated: SimulatedPoint, tmp_path: Path) -> None:
    """A file that was rotated is used at once; one that is away is an error that names it, and passes."""
    file = tmp_path / "token"
    config = replace(simulated.config(), client_secret=None, token_file=file)
    async with Point(config) as point:
        with pytest.raises(PointError, match=r"token_file .+/token.*cannot be read") as caught:
            await point.signature_key()
        assert caught.value.curable
        for assertion in ("first.assertion", "second.assertion"):
            file.write_text(assertion)
            simulated.authority.assertion = assertion
            simulated.authority.revoke()
            assert await point.signature_key()
        simulated.authority.assertion = "third.assertion"
        simulated.authority.revoke()
        with pytest.raises(PointError, match="AADSTS700213") as caught:
            await point.signature_key()
        assert "second" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("tenant", "fabrikam.onmicrosoft.com", 90002),
        ("client_id", "00000000-0000-0000-0000-000000000001", 700016),
        ("client_secret", Secret("hunter2"), 7000215),
        ("scope", "api", 70011),
        ("scope", "00000000-0000-0000-0000-000000000001/.default", 500011),
    ],
)
async def test_each_slip_of_the_configuration_is_told_apart(
    simulated: SimulatedPoint, field: str, value: object, code: int
) -> None:
    """What is wrong in the configuration is what the error speaks of."""
    async with Point(replace(simulated.config(), **{field: value})) as point:  # type: ignore[arg-type] # by name
        with pytest.raises(PointError, match=f"AADSTS{code}: ") as caught:
            await point.signature_key()
    assert "hunter2" not in str(caught.value)
    assert not caught.value.curable
