"""The relay as an administrator of Syskit Point runs it: from a file without a key or a registration, to a rotation."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relay.core.signature import fingerprint
from relay.sandbox import faults
from relay.sandbox.simulated import Part, SimulatedPoint
from relay.sandbox.workspaces import Workspaces
from tests.app.administrator import administered, running, until, verb
from tests.app.flood import flooding
from tests.running import Running, event, request

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0
UNSIGNED = request(b"", {})


def sent_more(simulated: SimulatedPoint, than: int) -> bool:
    """Tell whether enough deliveries were answered since."""
    return len(simulated.sent) > than + 40


async def rotated_under_load(simulated: SimulatedPoint, relay: Running) -> list[str]:
    """Let workspaces go on while the key is rotated twice and unsigned requests pour in; the keys there were."""
    async with flooding(relay.port, UNSIGNED, connections=3, burst=20) as strangers:
        await until(lambda: strangers[429])
        workspaces = Workspaces(simulated, 50.0, takes=0.05)
        load = asyncio.create_task(workspaces.run())
        keys = [simulated.key]
        for _ in range(2):
            await until(partial(sent_more, simulated, len(simulated.sent)))
            keys.append(simulated.rotate())
        await until(partial(sent_more, simulated, len(simulated.sent)))
        workspaces.stop()
        await load
    assert strangers.keys() == {401, 429}
    return keys


async def check_metrics_of_keys(relay: Running, rows: list[dict[str, Any]]) -> None:
    """What is shown of each key is what the verb says of it: its age and last use in seconds, what is left in days."""
    for row in rows:
        for name, moment, unit in (
            ("relay_key_age_seconds", row["first_seen"], 1.0),
            ("relay_key_unused_seconds", row["last_used"], 1.0),
            ("relay_key_retirement_days", row["retires_at"], -DAY),
        ):
            if moment is not None:  # a millisecond is what it is told to
                at, before = datetime.fromisoformat(moment).timestamp(), time.time() - 0.001
                shown = await asyncio.to_thread(relay.metric, name, source="contoso", key=row["fingerprint"])
                first, last = sorted(((before - at) / unit, (time.time() - at) / unit))
                assert first <= shown <= last, name


async def check_metrics_of_fetches(relay: Running, simulated: SimulatedPoint) -> None:
    """The gauge is the last fetch's outcome; each is counted under its own."""

    async def shown() -> tuple[float, float, float]:
        fetches = partial(asyncio.to_thread, relay.metric, "relay_key_fetches_total", source="contoso")
        last = await asyncio.to_thread(relay.metric, "relay_key_fetched", source="contoso")
        return last, await fetches(outcome="succeeded"), await fetches(outcome="failed")

    succeeded = simulated.asked[Part.OPTIONS]
    assert await shown() == (1, succeeded, 0)
    simulated.switch(Part.OPTIONS, faults.status(500))
    assert (await verb(relay, "keys", "fetch"))[0] == 1
    last, after, failed = await shown()
    assert (last, after, failed >= 1) == (0, succeeded, True)
    simulated.heal()
    assert (await verb(relay, "keys", "fetch"))[0] == 0
    last, after, _ = await shown()
    assert (last, after > succeeded) == (1, True)


async def test_from_registration_to_rotation_without_a_person(tmp_path: Path) -> None:
    """The relay registers itself, fetches the key, rotates it amid strangers, mends what is deleted."""
    async with SimulatedPoint() as simulated:
        written, url = administered(simulated, tmp_path)
        async with running(Running(tmp_path, written)) as relay:
            await until(lambda: simulated.endpoints == {url: ("*",)})
            keys = await rotated_under_load(simulated, relay)
            assert {sent.status for sent in simulated.sent} == {202}
            ids = [fingerprint(key.encode()) for key in keys]
            assert {sent.key_id for sent in simulated.sent} == set(ids)
            simulated.endpoints.clear()
            await until(lambda: simulated.endpoints == {url: ("*",)})
            await until(lambda: len(relay.told("registration.mended")) == 2)
            assert await asyncio.to_thread(relay.metric, "relay_deliveries_accepted_total") == len(simulated.sent)

            code, out, _ = await verb(relay, "keys", "list", "--json")
            rows = [json.loads(line) for line in out.splitlines()]
            assert (code, [(row["fingerprint"], row["state"]) for row in rows]) == (
                0, [(ids[0], "retiring"), (ids[1], "retiring"), (ids[2], "current")]
            )  # fmt: skip
            assert all(row["last_used"] for row in rows)
            await check_metrics_of_keys(relay, rows)
            await check_metrics_of_fetches(relay, simulated)
            code, out, _ = await verb(relay, "keys", "retire", ids[0])
            assert code == 0
            answer = await asyncio.to_thread(relay.post, event(), key=keys[0])
            assert answer.status == 401
            await asyncio.to_thread(relay.stop)
            everything = relay.text + out + (await verb(relay, "keys", "list"))[1]
    assert not any(secret in everything for secret in (*keys, "hunter2", simulated.authority.secret))
    assert "Traceback" not in everything


async def test_a_restart_while_the_api_is_away(tmp_path: Path) -> None:
    """Fetched keys are good after a restart without Syskit Point; what is signed with another is put off with 503."""
    async with SimulatedPoint() as simulated:
        written, _ = administered(simulated, tmp_path)
        relay = Running(tmp_path, written)
        await asyncio.to_thread(relay.start)
        key = simulated.key
        await until((tmp_path / "spool.db.keys").exists)
        await asyncio.to_thread(relay.kill9)
    try:
        await asyncio.to_thread(relay.start)
        assert (await asyncio.to_thread(relay.post, event(), key=key)).status == 202
        answer = await asyncio.to_thread(relay.post, event(), key=str(uuid4()))
        assert (answer.status, int(answer.headers["retry-after"]) >= 1) == (503, True)
        ready = await asyncio.to_thread(relay.get, "/readyz?verbose")
        assert (ready.status, b"[-] registration of contoso: " in ready.body) == (200, True)
    finally:
        await asyncio.to_thread(relay.kill9)


async def test_a_start_without_any_key(tmp_path: Path) -> None:
    """While there is none everything is put off and the relay is not ready; with the first one that is over."""
    async with SimulatedPoint() as simulated:
        simulated.switch(Part.OPTIONS, faults.status(503))
        written, _ = administered(simulated, tmp_path)
        async with running(Running(tmp_path, written), ready=503) as relay:
            answer = await asyncio.to_thread(relay.post, event(), key=simulated.key)
            assert (answer.status, int(answer.headers["retry-after"]) >= 1) == (503, True)
            simulated.heal()
            assert (await verb(relay, "keys", "fetch"))[0] == 0
            assert (await asyncio.to_thread(relay.get, "/readyz")).status == 200
            assert (await asyncio.to_thread(relay.post, event(), key=simulated.key)).status == 202


async def test_verbs_of_keys_at_rest(tmp_path: Path) -> None:
    """Without a relay that runs keys are fetched, listed and retired all the same; never shown."""
    async with SimulatedPoint() as simulated:
        written, _ = administered(simulated, tmp_path)
        relay = Running(tmp_path, written)
        key_id = fingerprint(simulated.key.encode())
        assert await verb(relay, "keys", "list") == (
            0,
            "SOURCE  KEY  STATE  FROM  FIRST SEEN  LAST USED  RETIRES\n",
            "there is no key\n",
        )
        code, out, _ = await verb(relay, "keys", "fetch")
        assert (code, key_id in out, simulated.key in out) == (0, True, False)
        code, _, err = await verb(relay, "keys", "retire", "00000000")
        assert (code, "no key has the fingerprint 00000000" in err) == (1, True)
        code, out, err = await verb(relay, "keys", "retire", key_id)
        assert (code, "retired" in out, "contoso has no key now" in err) == (0, True, True)
        code, _, err = await verb(relay, "keys", "fetch")
        assert (code, "was retired by hand and is not taken back" in err) == (1, True)


async def test_verbs_of_endpoints(tmp_path: Path) -> None:
    """A dry run prints the difference and does nothing; with --yes it is done; no query is ever shown."""
    async with SimulatedPoint() as simulated:
        written, url = administered(simulated, tmp_path)
        relay, bare = Running(tmp_path, written), url.partition("?")[0]
        simulated.endpoints = {f"{url}3": ("*",), "https://other": ("*",)}
        said = f"{bare}?*** is not registered; it should be, for *; so is it once with another query\n"
        for words in (("--dry-run",), ()):
            code, out, err = await verb(relay, "endpoints", "sync", *words)
            assert (code, out, url in simulated.endpoints) == (1, said, False), err
            todo = f"register {bare}?*** for * and delete 1 with another query"
            assert err.startswith(f"would {todo}\n" if words else "")
        code, out, _ = await verb(relay, "endpoints", "sync", "--yes")
        assert (code, out) == (0, f"{bare}?*** is registered for *\n")
        assert simulated.endpoints == {"https://other": ("*",), url: ("*",)}
        assert (await verb(relay, "endpoints", "list"))[1] == (f"https://other  *\n{bare}?***  *  (configured)\n")
        code, _, err = await verb(relay, "endpoints", "delete", "--dry-run")
        assert (code, err, url in simulated.endpoints) == (1, f"would delete {bare}?***\n", True)
        assert (await verb(relay, "endpoints", "delete", "--yes"))[:2] == (0, f"deleted {bare}?***\n")
        code, out, err = await verb(relay, "endpoints", "register", "--dry-run")
        assert (code, out) == (1, f"{bare}?*** is not registered; it should be, for *\n")
        assert (err, url in simulated.endpoints) == (f"would register {bare}?*** for *\n", False)
        code, _, err = await verb(relay, "endpoints", "delete", "--yes")
        assert (code, err) == (1, f"relay: {bare}?*** is not registered\n")
        code, out, _ = await verb(relay, "endpoints", "register", "--yes", "--json")
        assert (code, json.loads(out)["finding"]) == (0, "right")
        code, out, _ = await verb(relay, "endpoints", "delete", "--yes", "--json")
        assert (code, json.loads(out)) == (0, {"endpoint": f"{bare}?***", "deleted": True})
        simulated.authority.secret = "another"
        code, _, err = await verb(relay, "endpoints", "list")
        assert (code, "AADSTS7000215" in err) == (1, True)
