"""What is kept of the keys: a retirement that nothing undoes, and what a full disk or a crash may not lose."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from relay.config import FetchKey
from relay.core.errors import Unavailable
from relay.core.model import Key
from relay.core.signature import fingerprint
from relay.health import State
from relay.keys import Fetching, Keys, Retiring, file, keyring
from relay.keys import keys as keys_room
from relay.metrics import Metrics
from relay.sandbox.simulated import Part
from tests.keys.conftest import NAME, config_of, serving, until
from tests.wire import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from relay.sandbox.simulated import SimulatedPoint

SELDOM = FetchKey(3600.0, 3600.0)


async def test_a_fetch_under_way_undoes_no_retirement(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """What a person retires while Syskit Point is asked stays retired when its answer comes, in memory and on disk."""
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        leaked, new = simulated.key, simulated.rotate()
        await service.receive(new)
        answered, begun = asyncio.Event(), asyncio.Event()

        async def slow(_: web.Request) -> web.Response:
            begun.set()
            await answered.wait()
            return web.json_response({"webhooksSignatureAuthenticationKey": simulated.key})

        simulated.switch(Part.OPTIONS, slow)
        fetching = asyncio.create_task(service.keys.answer(Fetching()))
        await begun.wait()
        await service.keys.answer(Retiring(fingerprint(leaked.encode())))
        answered.set()
        await fetching
        assert [key.secret for key in service.ring.source.keys] == [new.encode()]
        assert fingerprint(leaked.encode()) in file.read(tmp_path / "spool.db.keys")[NAME].retired


def full(_: Path, __: object) -> None:
    """Write to a disk that has no room."""
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key that came while the disk was full is on disk once there is room, although no other key comes."""
    path = tmp_path / "spool.db.keys"
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        await until(path.exists)
        with monkeypatch.context() as patch, capture_logs() as log:
            patch.setattr(file, "write", full)
            await service.receive(simulated.rotate())
            await until(lambda: any(line["event"] == "keys.unsaved" for line in log))
        await service.ring.fetch()
        await until(lambda: simulated.key.encode() in {key.secret for key in file.read(path)[NAME].fetched})


async def test_when_keys_were_used_is_written_while_the_relay_runs(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash forgets little of it, also of a key that is configured."""
    monkeypatch.setattr(keys_room, "SAVE_EVERY", 0.05)
    configured = str(uuid4())
    async with serving(tmp_path, simulated, keys=[configured]) as service:
        key_id = await service.receive(configured)
        path = tmp_path / "spool.db.keys"
        await until(lambda: path.exists() and file.read(path)[NAME].last_used == {key_id: service.ring.used[key_id]})


async def test_a_key_of_two_sources_is_retired_in_both_though_it_cannot_be_written(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person is told that a restart forgets it; until then no source takes it."""
    leaked = str(uuid4())
    config = config_of(tmp_path, simulated, None, [leaked])
    (source,) = config.sources
    config = replace(config, sources=(source, replace(source, name="other", path="/webhooks/other")))
    metrics = Metrics(sources=(NAME, "other"), types=(), dropping=(), topics=(), version="1")
    keys = Keys(config, metrics)
    keys.open()
    monkeypatch.setattr(file, "write", full)
    with pytest.raises(Unavailable, match="a restart forgets"):
        await keys.answer(Retiring(fingerprint(leaked.encode())))
    assert [source.keys for source in keys.sources()] == [(), ()]


async def test_a_person_does_not_wait_for_ever(
    tmp_path: Path, simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who asks while a fetch is under way is told its fault, however long Syskit Point wants to be left alone."""
    monkeypatch.setattr(keyring, "LONGEST_FETCH", 1.0)
    async with serving(tmp_path, simulated, SELDOM) as service:
        await until(lambda: service.ring.fetched_at)
        answered, begun = asyncio.Event(), asyncio.Event()

        async def slow(_: web.Request) -> web.Response:
            begun.set()
            await answered.wait()
            return web.Response(status=429, headers={"Retry-After": "3600"})

        simulated.switch(Part.OPTIONS, slow)
        first = asyncio.create_task(service.keys.answer(Fetching()))
        await begun.wait()
        second = asyncio.create_task(service.keys.answer(Fetching()))
        await asyncio.sleep(0)
        answered.set()
        with pytest.raises(Unavailable, match="429"):
            await asyncio.wait_for(second, PATIENCE)
        with pytest.raises(Unavailable):
            await first


async def test_one_source_without_a_key_takes_no_other_out_of_service(
    tmp_path: Path, simulated: SimulatedPoint
) -> None:
    """It fails and is told, and the relay stays ready; only when no source has a key it is not."""
    config = config_of(tmp_path, simulated, SELDOM)
    (without,) = config.sources
    known = str(uuid4()).encode()
    other = replace(without, name="other", path="/webhooks/other", keys=(Key(fingerprint(known), known),))
    metrics = Metrics(sources=(NAME, "other"), types=(), dropping=(), topics=(), version="1")
    checks = list(Keys(replace(config, sources=(without, other)), metrics).checks())
    assert [(check.state, check.stops) for check in checks] == [(State.FAIL, False), (State.OK, False)]
    (alone,) = Keys(config, metrics).checks()
    assert alone.stops


async def test_a_file_that_others_could_read_is_told(tmp_path: Path, simulated: SimulatedPoint) -> None:
    """The log says at start that keys were to be read, and what to do."""
    path = file.path_of(tmp_path / "spool.db")
    file.write(path, {})
    path.chmod(0o640)
    metrics = Metrics(sources=(NAME,), types=(), dropping=(), topics=(), version="1")
    with capture_logs() as log:
        Keys(config_of(tmp_path, simulated, SELDOM), metrics).open()
    assert [line["event"] for line in log] == ["keys.exposed"]
    assert path.stat().st_mode & 0o777 == 0o600
