"""From registration to rotation: a relay that is told nothing but how Syskit Point is reached."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from relay.sandbox.authority import CLIENT_ID, SCOPE, TENANT
from relay.sandbox.ports import free_ports
from relay.sandbox.rotation import rotate_under_load
from relay.sandbox.simulated import SimulatedPoint
from tests.records import ids
from tests.running import PATH, Running, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kafka.cluster import Cluster

PATIENCE = 40


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition while the simulated Syskit Point goes on."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.05)


async def test_without_a_person(kafka: Cluster, tmp_path: Path) -> None:
    """It registers itself, fetches the key, refuses nothing around a rotation, and mends a lost registration."""
    secret = tmp_path / "secret"
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}{PATH}?code=hunter2"
    async with SimulatedPoint() as point:
        secret.write_text(f"{point.authority.secret}\n")
        source = {
            "path": PATH,
            "point": {
                "url": point.url,
                "tenant": TENANT,
                "client_id": CLIENT_ID,
                "client_secret": f"${{file:{secret}}}",
                "scope": SCOPE,
                "authority": point.url,
                "allow_private": True,
                "register": {"endpoint": url, "every": "1s"},
            },
        }
        listen = {"host": "127.0.0.1", "port": port}
        configuration = settings(
            kafka.bootstrap_servers, tmp_path, "point.all", listen=listen, sources={"contoso": source}
        )
        with ExitStack() as stack:
            relay = await asyncio.to_thread(stack.enter_context, Running(tmp_path, configuration))
            await until(lambda: point.endpoints == {url: ("*",)})
            rotated = await rotate_under_load(point)
            assert rotated.by_old > 0 < rotated.by_new
            point.endpoints.clear()
            await until(lambda: point.endpoints == {url: ("*",)})
            await asyncio.to_thread(relay.settle)
            assert await asyncio.to_thread(relay.stop) == 0
        for told in (point.authority.secret, "hunter2", point.key):
            assert told not in relay.text
    published = await asyncio.to_thread(ids, kafka, "point.all")
    assert len(published) == len(set(published)) == rotated.by_old + rotated.by_new
