"""The simulated Syskit Point behaves as the vendor documents: a client that passes against it is not flattered."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from relay.core.signature import sign
from relay.point import Endpoint, Point
from relay.sandbox.simulated import SimulatedPoint
from relay.sandbox.workspaces import FAILS_EVERY, Workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 20


class Receiver:
    """Something at a URL that Syskit Point posts to: what came, and what it answers, which may be nothing."""

    def __init__(self) -> None:
        """Take whatever comes, once there is a URL."""
        self.url = ""
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.status: int | None = 202

    async def receive(self, request: web.Request) -> web.Response:
        """Keep a delivery."""
        self.bodies.append(await request.read())
        self.signatures.append(request.headers["Signature"])
        if self.status is None:
            await asyncio.Event().wait()
        return web.Response(status=self.status or 0)


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give one whose deliveries time out soon."""
    async with SimulatedPoint(timeout=0.2) as simulated:
        yield simulated


@pytest.fixture(name="receiver")
async def fixture_receiver() -> AsyncIterator[Receiver]:
    """Give something that is posted to."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/", receiver.receive)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield receiver
    await runner.cleanup()


async def test_deliveries_go_where_they_are_registered(simulated: SimulatedPoint, receiver: Receiver) -> None:
    """A delivery is posted to every endpoint of its type, signed with the key of that moment, and to no other."""
    async with Point(simulated.config()) as point:
        await point.register(Endpoint(receiver.url, ("A", "B")))
        await point.register(Endpoint(f"{receiver.url}?all", ("*",)))
        await point.register(Endpoint(f"{receiver.url}?others", ("C",)))
    await simulated.deliver("A", b"one")
    first = simulated.key
    simulated.rotate()
    await simulated.deliver("A", b"two")
    assert receiver.bodies == [b"one", b"one", b"two", b"two"]
    assert receiver.signatures[:2] == [sign(first.encode(), b"one")] * 2
    assert receiver.signatures[2:] == [sign(simulated.key.encode(), b"two")] * 2
    assert [sent.status for sent in simulated.sent] == [202] * 4


@pytest.mark.parametrize("status", [401, 500, 503, None])
async def test_a_delivery_is_sent_once(simulated: SimulatedPoint, receiver: Receiver, status: int | None) -> None:
    """Whatever comes of it, a delivery is not sent again: what the relay refuses is lost."""
    receiver.status = status
    simulated.endpoints[receiver.url] = ("*",)
    await simulated.deliver("A", b"one")
    assert receiver.bodies == [b"one"]
    assert [sent.status for sent in simulated.sent] == [status]


async def test_workspaces_are_provisioned_or_fail(simulated: SimulatedPoint, receiver: Receiver) -> None:
    """Each workspace is requested and then comes to one end; stopping waits for those that were begun."""
    simulated.endpoints[receiver.url] = ("*",)
    workspaces = Workspaces(simulated, 200.0, takes=0.01)
    running = asyncio.create_task(workspaces.run())
    async with asyncio.timeout(PATIENCE):
        while workspaces.begun < 2 * FAILS_EVERY:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
        workspaces.stop()
        await running
    lives: dict[str, list[str]] = {}
    for body in receiver.bodies:
        delivery = json.loads(body)
        lives.setdefault(delivery["content"]["name"], []).append(delivery["type"])
    assert len(lives) == workspaces.begun
    for name, life in lives.items():
        failed = int(name.rpartition("-")[2]) % FAILS_EVERY == 0
        assert life == ["ProvisioningStarted", "ProvisioningFailed" if failed else "ProvisioningCompleted"]


async def test_it_answers_as_the_vendor_does(simulated: SimulatedPoint) -> None:
    """Statuses and bodies are the vendor's, also that of a registration, which is no JSON."""
    endpoints = f"{simulated.url}/v1.0/webhooks/endpoints"
    async with aiohttp.ClientSession() as session:
        for path in ("options", "webhooks/endpoints"):
            async with session.get(f"{simulated.url}/v1.0/{path}") as answer:
                assert answer.status == 401
        config = simulated.config()
        form = {
            "client_id": config.client_id,
            "client_secret": simulated.authority.secret,
            "grant_type": "client_credentials",
            "scope": config.scope,
        }
        async with session.post(f"{simulated.url}/{config.tenant}/oauth2/v2.0/token", data=form) as answer:
            granted = await answer.json()
        bearer = {"Authorization": f"Bearer {granted['access_token']}"}
        body = {"endpoint": "https://relay", "types": ["*"]}
        async with session.post(endpoints, json=body, headers=bearer) as answer:
            assert answer.status == 200
            with pytest.raises(json.JSONDecodeError):
                json.loads(await answer.text())
        async with session.get(endpoints, headers=bearer) as answer:
            assert await answer.json() == [body]
        texts = []
        for status in (204, 404):
            async with session.delete(endpoints, json={"endpoint": "https://relay"}, headers=bearer) as answer:
                assert answer.status == status
                texts.append(await answer.text())
        assert set(json.loads(texts[1])) == {"message", "exceptionMessage", "exceptionType"}
        form["client_secret"] = "wrong"
        async with session.post(f"{simulated.url}/{config.tenant}/oauth2/v2.0/token", data=form) as answer:
            refused = await answer.json()
        assert (answer.status, refused["error"], refused["error_codes"]) == (401, "invalid_client", [7000215])
