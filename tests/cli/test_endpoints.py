"""`relay endpoints`: what it says of a Syskit Point that answers otherwise than it should."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from relay import logs
from relay.cli.endpoints import endpoints
from relay.point import Point
from relay.sandbox.simulated import Part, SimulatedPoint
from tests.point.test_bad_input import ROWS, Row
from tests.running import PATH, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

URL = f"https://relay.contoso.com{PATH}?code=hunter2-hunter2-hunter2"
VERBS = {
    Part.DELETE: ("delete", "--yes"),
    Part.LIST: ("list",),
    Part.REGISTER: ("register", "--yes"),
    Part.TOKEN: ("sync", "--yes"),
}
FEW = {"10 GB", "silent", "redirect", "not JSON", "401", "403", "503", "types are a text", "wrong secret"}
TYPED = [(part, row) for part, row in ROWS if part is Part.DELETE or (part in VERBS and row.name in FEW)]


@pytest.fixture(name="simulated")
async def fixture_simulated() -> AsyncIterator[SimulatedPoint]:
    """Give a Syskit Point where everything is right."""
    async with SimulatedPoint() as simulated:
        yield simulated


async def typed(simulated: SimulatedPoint, folder: Path, *words: str) -> Result:
    """Run a verb in a thread, while Syskit Point answers."""
    secret = folder / "client_secret"
    secret.write_text(simulated.authority.secret)
    api = simulated.config()
    point = {
        "url": api.url, "authority": api.authority, "tenant": api.tenant, "client_id": api.client_id,
        "scope": api.scope, "client_secret": f"${{file:{secret}}}", "allow_private": True,
        "register": {"endpoint": URL},
    }  # fmt: skip
    sources = {"contoso": {"path": PATH, "point": point, "query": {"code": "hunter2-hunter2-hunter2"}}}
    file = folder / "relay.yaml"
    file.write_text(json.dumps(settings("127.0.0.1:1", folder, "t", sources=sources)))
    return await asyncio.to_thread(CliRunner().invoke, endpoints, [*words, "-c", str(file)])


@pytest.mark.parametrize(("part", "row"), TYPED, ids=[f"{part}: {row.name}" for part, row in TYPED])
async def test_a_fault_is_told(
    simulated: SimulatedPoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Part, row: Row
) -> None:
    """One line on stderr says what to do, without secrets, exit 1; what was registered stays so, and it passes."""
    monkeypatch.setattr("relay.point.Point", partial(Point, timeout=0.5))
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # it is the process's own
    before = {URL: ("ProvisioningStarted",)} if part in {Part.DELETE, Part.LIST} else {}
    simulated.endpoints |= before
    simulated.switch(part, row.fault)
    done = await typed(simulated, tmp_path, *VERBS[part])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("relay: ")]
    assert row.said in line
    assert simulated.endpoints == before
    assert simulated.led == 0
    for secret in (simulated.authority.secret, "hunter2", "Bearer", "Traceback"):
        assert secret not in done.output + done.stderr
    simulated.heal()
    done = await typed(simulated, tmp_path, *VERBS[part])
    assert done.exit_code == 0, done.stderr
    assert simulated.endpoints == {
        Part.DELETE: {}, Part.LIST: before, Part.REGISTER: {URL: ("*",)}, Part.TOKEN: {URL: ("*",)},
    }[part]  # fmt: skip
