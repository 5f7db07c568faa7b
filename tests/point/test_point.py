"""What the client asks of Syskit Point, and what it makes of good answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from relay.point import Endpoint, NotRegistered, Point, PointError
from relay.point.wire import ATTEMPTS
from relay.sandbox import faults
from relay.sandbox.simulated import Part

if TYPE_CHECKING:
    from relay.sandbox.simulated import SimulatedPoint

URL = "https://relay.contoso.com/webhooks/contoso?code=hunter2"


async def test_the_key_is_the_text_of_the_guid(point: Point, simulated: SimulatedPoint) -> None:
    """The key is what was answered, letter by letter, and a rotated one is there at the next request."""
    simulated.key = "158B08CC-6a06-49f2-a724-2bc514fdcf1e"
    assert await point.signature_key() == b"158B08CC-6a06-49f2-a724-2bc514fdcf1e"
    assert (await point.signature_key()).decode() != simulated.rotate()
    assert (await point.signature_key()).decode() == simulated.key


async def test_endpoints_are_registered_listed_and_deleted(point: Point, simulated: SimulatedPoint) -> None:
    """A registration is there once it was made, and gone once it was deleted; what the answers say is not read."""
    assert await point.endpoints() == ()
    await point.register(Endpoint(URL, ("ProvisioningFailed",)))
    await point.register(Endpoint("https://other", ("*",)))
    assert await point.endpoints() == (Endpoint(URL, ("ProvisioningFailed",)), Endpoint("https://other", ("*",)))
    await point.delete(URL)
    assert list(simulated.endpoints) == ["https://other"]


async def test_what_is_not_registered_cannot_be_deleted(point: Point) -> None:
    """Deleting what is not there is an error of its own, which shows no query."""
    with pytest.raises(NotRegistered, match="is not registered") as caught:
        await point.delete(URL)
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value, PointError)


@pytest.mark.parametrize("fault", [faults.not_json, faults.status(200), faults.json(5)])
async def test_what_a_success_says_is_not_looked_at(
    point: Point, simulated: SimulatedPoint, fault: faults.Fault
) -> None:
    """Any 2xx of POST and DELETE is a success, whatever its body."""
    simulated.switch(Part.REGISTER, fault)
    simulated.switch(Part.DELETE, fault)
    await point.register(Endpoint(URL, ("*",)))
    await point.delete(URL)


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(429), faults.cut])
async def test_what_passes_is_tried_again_within_a_bound(
    point: Point, simulated: SimulatedPoint, fault: faults.Fault
) -> None:
    """A reading request outlives what passes; what stays is told after so many attempts."""
    simulated.switch(Part.OPTIONS, fault, times=ATTEMPTS - 1)
    assert (await point.signature_key()).decode() == simulated.key
    assert simulated.asked[Part.OPTIONS] == ATTEMPTS
    simulated.switch(Part.OPTIONS, fault)
    with pytest.raises(PointError) as caught:
        await point.signature_key()
    assert caught.value.curable
    assert simulated.asked[Part.OPTIONS] == 2 * ATTEMPTS


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(429), faults.cut])
async def test_what_changes_something_is_tried_once(
    point: Point, simulated: SimulatedPoint, fault: faults.Fault
) -> None:
    """Nobody knows what became of a change that was not answered, so it is not repeated blindly."""
    await point.signature_key()
    simulated.switch(Part.REGISTER, fault)
    simulated.switch(Part.DELETE, fault)
    with pytest.raises(PointError):
        await point.register(Endpoint(URL, ("*",)))
    with pytest.raises(PointError):
        await point.delete(URL)
    assert (simulated.asked[Part.REGISTER], simulated.asked[Part.DELETE]) == (1, 1)


async def test_a_short_retry_after_is_waited_for(point: Point, simulated: SimulatedPoint) -> None:
    """The next attempt is not before the time that was asked for."""
    await point.signature_key()
    simulated.switch(Part.OPTIONS, faults.status(429, retry_after="1"), times=1)
    before = time.monotonic()
    await point.signature_key()
    assert time.monotonic() - before >= 1.0


@pytest.mark.parametrize("asked", ["120", "Wed, 21 Oct 2065 07:28:00 GMT", "9" * 400])
async def test_a_long_retry_after_is_left_to_the_caller(point: Point, simulated: SimulatedPoint, asked: str) -> None:
    """The caller is told for how long, and until then nothing is sent at all; nonsense counts as an hour."""
    await point.signature_key()
    simulated.switch(Part.OPTIONS, faults.status(503, retry_after=asked), times=1)
    for _ in range(2):
        with pytest.raises(PointError) as caught:
            await point.signature_key()
        assert caught.value.curable
        assert caught.value.retry_after == pytest.approx(120.0 if asked == "120" else 3600.0, abs=60)
    assert simulated.asked[Part.OPTIONS] == 2


async def test_nothing_secret_is_printed(simulated: SimulatedPoint) -> None:
    """No value that holds a secret shows it, whoever prints it."""
    point = Point(simulated.config())
    shown = " ".join(repr(each) for each in (point, simulated.config(), Endpoint(URL, ("*",))))
    for secret in (simulated.authority.secret, "hunter2"):
        assert secret not in shown
