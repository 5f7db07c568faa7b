"""The registration: compared, created, mended with the shortest gap, its loss told; queries are never shown."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from relay.config import Register
from relay.health import State
from relay.metrics import Metrics
from relay.point import Endpoint, Point, PointError
from relay.registration import Finding, Registrar, difference, mend
from relay.sandbox import faults
from relay.sandbox.simulated import Habit, Part, SimulatedPoint
from tests.keys.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

URL = "https://relay.contoso.com/webhooks/contoso?code=hunter2"
WANTED = Endpoint(URL, ("ProvisioningCompleted", "ProvisioningFailed"))


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right."""
    async with SimulatedPoint() as simulated:
        yield simulated


@asynccontextmanager
async def registrar(
    simulated: SimulatedPoint, every: float = 3600.0, url: str = URL, types: tuple[str, ...] = WANTED.types
) -> AsyncIterator[tuple[Registrar, Metrics]]:
    """Look after the registration as a relay does."""
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    register = Register(url, types, every)
    one = Registrar("contoso", simulated.config(register=register), register, metrics)
    running = asyncio.create_task(one.run())
    try:
        yield one, metrics
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("registered", "finding", "types", "stale"),
    [
        ((), Finding.MISSING, (), ()),
        ((WANTED,), Finding.RIGHT, WANTED.types, ()),
        ((Endpoint(URL, WANTED.types[::-1]),), Finding.RIGHT, WANTED.types[::-1], ()),
        ((WANTED, WANTED), Finding.RIGHT, WANTED.types, ()),
        ((Endpoint(URL, ("*",)),), Finding.DIFFERENT, ("*",), ()),
        ((Endpoint(URL, ()),), Finding.DIFFERENT, (), ()),
        (
            (Endpoint(URL.replace("relay.", "RELAY.").replace(".com/", ".com:443/"), ("*",)),),
            Finding.DIFFERENT,
            ("*",),
            (),
        ),
        ((Endpoint(URL.replace("/webhooks", "/Webhooks"), ("*",)),), Finding.MISSING, (), ()),
        ((Endpoint("https://other", WANTED.types),), Finding.MISSING, (), ()),
        ((Endpoint(URL + "3", ("*",)), WANTED), Finding.RIGHT, WANTED.types, (URL + "3",)),
    ],
)
def test_what_is_registered_is_held_against_what_should_be(
    registered: tuple[Endpoint, ...], finding: Finding, types: tuple[str, ...], stale: tuple[str, ...]
) -> None:
    """The URL has to be the same but for its host's case and a default port, the types as a set; no query is shown."""
    found = difference(WANTED, registered)
    assert (found.finding, found.types, found.stale) == (finding, types, stale)
    assert "hunter2" not in str(found) + repr(found.wanted)


async def test_what_is_missing_is_registered_at_start(simulated: SimulatedPoint) -> None:
    """A relay that starts registers itself, once; others' endpoints are let be."""
    simulated.endpoints["https://other"] = ("*",)
    async with registrar(simulated) as (one, _):
        await until(lambda: one.check.state is State.OK)
        assert simulated.endpoints == {"https://other": ("*",), URL: WANTED.types}
        assert (simulated.asked[Part.REGISTER], simulated.asked[Part.DELETE]) == (1, 0)


async def test_what_is_deleted_behind_its_back_is_mended(simulated: SimulatedPoint) -> None:
    """Within the interval it is there again, and the log and a counter say so; no query is logged."""
    with capture_logs() as log:
        async with registrar(simulated, every=1.0) as (one, metrics):
            await until(lambda: one.check.state is State.OK)
            simulated.endpoints.clear()
            await until(lambda: simulated.endpoints == {URL: WANTED.types})
            await until(lambda: b'relay_registrations_mended_total{source="contoso"} 2.0' in metrics.render())
    assert [line["event"] for line in log] == ["registration.missing", "registration.mended"] * 2
    assert "hunter2" not in str(log)


async def test_loss_that_cannot_be_mended_fails_a_row_and_nothing_else(simulated: SimulatedPoint) -> None:
    """A registration that is gone and cannot be made is a failed row, at which the relay stays in service."""
    simulated.switch(Part.REGISTER, faults.status(403))
    with capture_logs() as log:
        async with registrar(simulated) as (one, metrics):
            await until(lambda: one.check.state is State.FAIL and logged(log, "registration.failed"))
            assert not one.check.stops
            assert b'relay_registered{source="contoso"} 0.0' in metrics.render()
            simulated.heal()
            await until(lambda: one.check.state is State.OK)
            assert b'relay_registered{source="contoso"} 1.0' in metrics.render()
    assert "hunter2" not in f"{log} {one.check}"


async def test_other_types_are_mended_without_a_gap(simulated: SimulatedPoint) -> None:
    """Where a POST changes what is registered, nothing is deleted."""
    simulated.endpoints[URL] = ("*",)
    async with Point(simulated.config()) as point:
        now = await mend(point, difference(WANTED, await point.endpoints()))
    assert (now.finding, simulated.endpoints) == (Finding.RIGHT, {URL: WANTED.types})
    assert simulated.asked[Part.DELETE] == 0


@pytest.mark.parametrize("number", [400, 409])
async def test_what_is_refused_deletes_nothing(simulated: SimulatedPoint, number: int) -> None:
    """Types that Syskit Point does not take cost the registration that works nothing."""
    simulated.endpoints[URL] = ("*",)
    simulated.switch(Part.REGISTER, faults.status(number))
    async with Point(simulated.config()) as point:
        with pytest.raises(PointError, match=str(number)):
            await mend(point, difference(WANTED, await point.endpoints()))
    assert (simulated.endpoints, simulated.asked[Part.DELETE]) == ({URL: ("*",)}, 0)


async def test_where_it_has_to_be_it_is_deleted_first(simulated: SimulatedPoint) -> None:
    """A POST that changes nothing is followed by a deletion, of the URL as it is listed, and a registration anew."""
    listed = URL.replace("relay.", "RELAY.").replace(".com/", ".com:443/")
    simulated.endpoints[listed] = ("*",)
    simulated.switch(Part.REGISTER, faults.status(200), times=1)
    async with Point(simulated.config()) as point:
        now = await mend(point, difference(WANTED, await point.endpoints()))
    assert (now.finding, simulated.endpoints) == (Finding.RIGHT, {URL: WANTED.types})


async def test_what_was_deleted_to_be_mended_is_registered_with_patience(simulated: SimulatedPoint) -> None:
    """After the deletion the registration is tried again at once, since deliveries are lost meanwhile."""
    simulated.endpoints[URL] = ("*",)
    simulated.switch(Part.REGISTER, answering(simulated, [200, 503, 503]))
    async with Point(simulated.config()) as point:
        await mend(point, difference(WANTED, await point.endpoints()))
    assert simulated.endpoints == {URL: WANTED.types}


async def test_what_cannot_be_made_anew_gets_the_types_it_had_and_is_let_be(simulated: SimulatedPoint) -> None:
    """Types that are refused only after the deletion leave the registration as it was, and it is deleted once."""
    simulated.endpoints[URL] = ("*",)
    simulated.switch(Part.REGISTER, answering(simulated, [200, 400]))
    async with registrar(simulated, every=1.0) as (one, _):
        await until(lambda: one.check.state is State.WARN and simulated.asked[Part.DELETE] == 1)
        looked = simulated.asked[Part.LIST]
        await until(lambda: simulated.asked[Part.LIST] >= looked + 2)
        assert "the types it had" in one.check.detail
    assert simulated.endpoints == {URL: ("*",)}
    assert (simulated.asked[Part.REGISTER], simulated.asked[Part.DELETE]) == (3, 1)


@pytest.mark.parametrize("habits", [{Habit.EXPANDS}, {Habit.EXPANDS, Habit.KEEPS}])
async def test_types_that_are_listed_otherwise_are_mended_once(simulated: SimulatedPoint, habits: set[Habit]) -> None:
    """An API that writes types its own way is a warning and one log line, until what it lists changes."""
    simulated.habits |= habits
    with capture_logs() as log:
        async with registrar(simulated, every=1.0, types=("*",)) as (one, _):
            await until(lambda: logged(log, "registration.unmended"))
            asked = (simulated.asked[Part.REGISTER], simulated.asked[Part.DELETE])
            assert asked == (2, 1)
            looked = simulated.asked[Part.LIST]
            await until(lambda: simulated.asked[Part.LIST] >= looked + 2)
            assert one.check.state is State.WARN
            assert (simulated.asked[Part.REGISTER], simulated.asked[Part.DELETE]) == asked
            assert [line["event"] for line in log] == ["registration.missing", "registration.unmended"]
            simulated.habits.clear()
            simulated.endpoints.clear()
            await until(lambda: one.check.state is State.OK)
    assert simulated.endpoints == {URL: ("*",)}


async def test_a_url_that_is_listed_otherwise_is_not_registered_each_time(simulated: SimulatedPoint) -> None:
    """Where the URL shows in another spelling, each POST may add one: the next is when the listing has changed."""
    simulated.habits.add(Habit.LOWERS)
    url = URL.replace("/webhooks", "/Webhooks")
    with capture_logs() as log:
        async with registrar(simulated, every=0.05, url=url) as (one, _):
            await until(lambda: one.check.state is State.WARN and "nothing more is done" in one.check.detail)
            asked = simulated.asked[Part.LIST]
            await until(lambda: simulated.asked[Part.LIST] > asked + 3)
            assert simulated.asked[Part.REGISTER] == 1
            assert "is not registered" in one.check.detail
            assert [line["event"] for line in log] == ["registration.missing", "registration.unmended"]
            simulated.endpoints["https://other"] = ("*",)
            await until(lambda: simulated.asked[Part.REGISTER] == 2)
            simulated.habits.clear()
            simulated.endpoints["https://another"] = ("*",)
            await until(lambda: one.check.state is State.OK)
    assert (simulated.endpoints[url], simulated.asked[Part.DELETE]) == (WANTED.types, 0)
    assert "hunter2" not in str(log)


async def test_a_post_that_did_nothing_is_not_the_last(simulated: SimulatedPoint) -> None:
    """A registration that was deleted, and whose POST was answered 200 for nothing, is there at the next look."""
    with capture_logs() as log:
        async with registrar(simulated, every=0.05) as (one, _):
            await until(lambda: one.check.state is State.OK)
            simulated.switch(Part.REGISTER, faults.status(200), times=2)
            simulated.endpoints.clear()
            await until(lambda: simulated.endpoints == {URL: WANTED.types})
            await until(lambda: one.check.state is State.OK)
    lost = ["registration.missing", "registration.unmended", "registration.mended"]
    assert [line["event"] for line in log] == ["registration.missing", "registration.mended", *lost]


async def test_a_stop_after_the_deletion_waits_for_the_registration(simulated: SimulatedPoint) -> None:
    """Who stops the relay while nothing is registered does not leave it so."""
    simulated.endpoints[URL] = ("*",)
    simulated.switch(Part.REGISTER, answering(simulated, [200, 503]))
    async with registrar(simulated):
        await until(lambda: simulated.asked[Part.DELETE] == 1 and simulated.asked[Part.REGISTER] == 2)
        assert not simulated.endpoints
    assert simulated.endpoints == {URL: WANTED.types}


async def test_what_may_pass_deletes_nothing(simulated: SimulatedPoint) -> None:
    """While Syskit Point is in trouble the registration with other types is better than none."""
    simulated.endpoints[URL] = ("*",)
    simulated.switch(Part.REGISTER, faults.status(503))
    with capture_logs() as log:
        async with registrar(simulated) as (one, _):
            await until(lambda: logged(log, "registration.failed"))
            assert one.check.state is State.FAIL
    assert (simulated.endpoints, simulated.asked[Part.DELETE]) == ({URL: ("*",)}, 0)


def answering(simulated: SimulatedPoint, numbers: list[int]) -> faults.Fault:
    """Answer so without doing anything, and then register."""
    left = iter(numbers)

    async def answer(request: web.Request) -> web.StreamResponse:
        number = next(left, None)
        if number:
            return await faults.status(number)(request)
        asked = await request.json()
        simulated.endpoints[asked["endpoint"]] = tuple(asked["types"])
        return web.Response()

    return answer


def logged(log: list[MutableMapping[str, object]], event: str) -> bool:
    """Tell whether an event was logged."""
    return any(line["event"] == event for line in log)
