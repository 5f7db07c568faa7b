"""The volley: it sends each delivery until it is acknowledged, and ends when it is told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from relay.config import load
from relay.core.model import Envelope
from relay.core.pipeline import Pipeline
from relay.sandbox.ports import free_ports
from relay.sandbox.volley import WORKSPACES, Volley, _body
from tests.core.samples import CONTENT_SOURCE, ROUTES, deliver
from tests.sandbox.configured import configured

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_ends_when_it_is_told_to_however_long_it_is_refused(tmp_path: Path) -> None:
    """A relay that stays at 503 is asked again and again, until `stop`; what it refused is not acknowledged."""
    (port,) = free_ports(1)
    again = asyncio.Event()
    asked = 0

    async def refuse(_: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        if asked > 3 * WORKSPACES:
            again.set()
        return web.Response(status=503)

    server = web.ServerRunner(web.Server(refuse))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", port).start()
    try:
        volley = Volley(load(configured(tmp_path, "127.0.0.1:1"), {}), f"http://127.0.0.1:{port}/webhooks/contoso", 100)
        sending = asyncio.create_task(volley.run())
        await again.wait()
        volley.stop()
        await asyncio.wait_for(sending, 15)
    finally:
        await server.cleanup()
    assert len(volley.sent) == WORKSPACES
    assert not any(one.acknowledged for one in volley.sent.values())


def test_each_delivery_is_another_one_by_its_content_alone() -> None:
    """A source may sign no more than that: a second one of a workspace would be taken for a repeat of the first."""
    pipeline = Pipeline({CONTENT_SOURCE.name: CONTENT_SOURCE}, ROUTES, Envelope())
    bodies = [_body("ProvisioningStarted", "workspace-1", id_) for id_ in ("1", "2")]
    assert len({pipeline.process(deliver(body, CONTENT_SOURCE)).dedupe_id for body in bodies}) == 2
