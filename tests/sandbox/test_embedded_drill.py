"""`relay drill --sandbox` as a user types it: three brokers of the embedded Kafka, each killed and frozen."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from relay.cli.drilling import drill
from relay.sandbox import drill as sandbox
from relay.sandbox import ordeal
from relay.sandbox.embedded import EmbeddedKafka
from relay.sandbox.ordeal import Ordeal
from relay.sandbox.proxy import Proxy
from tests.running import until
from tests.sandbox.configured import configured

if TYPE_CHECKING:
    from pathlib import Path


def drilled(folder: Path, code: int) -> dict[str, Any]:
    """Drill on the embedded Kafka, by a configuration whose own Kafka is away; give its report."""
    path = str(configured(folder, "127.0.0.1:1"))
    done = CliRunner().invoke(drill, ["--sandbox", "--time", "1s", "--rate", "100", "--json", "-c", path])
    assert done.exit_code == code, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def listens(address: str) -> bool:
    """Tell whether somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_broker_that_is_killed_is_away_until_it_is_revived() -> None:
    """The one that is meant, and no other."""
    kafka = EmbeddedKafka(3)
    kafka.kill(kafka.addresses[1])
    until(lambda: [listens(address) for address in kafka.addresses] == [True, False, True])
    kafka.revive(kafka.addresses[1])
    until(lambda: all(listens(address) for address in kafka.addresses))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_each_broker_is_killed_and_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three brokers each is away for a while; all is clean but for doubles, which are not judged."""
    every = Ordeal._faults
    monkeypatch.setattr(Ordeal, "_faults", lambda self: [one for one in every(self) if one[0].startswith("broker ")])
    monkeypatch.setattr(ordeal, "FAULT", 1.0)
    monkeypatch.setattr(ordeal, "CALM", 0.3)
    report = drilled(tmp_path, 0)
    assert len(report["brokers"]) == 3
    due = {f"broker {broker} {fault}" for broker in report["brokers"] for fault in ("killed", "frozen")}
    assert {blow["fault"] for blow in report["blows"]} == due
    assert (report["clean"], report["judges_doubles"], report["drained"]) == (True, False, True)
    assert report["sent"]["acknowledged"] > 100


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_relay_that_refuses_for_ever_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its spool is full and Kafka does not come back: the drill ends, exit 1, and loses nothing that waits on disk."""
    every = Ordeal._faults
    monkeypatch.setattr(Ordeal, "_faults", lambda self: [one for one in every(self) if "spool filled" in one[0]])
    monkeypatch.setattr(Proxy, "heal", lambda _: None)
    monkeypatch.setattr(ordeal, "RECOVERY", 2.0)
    monkeypatch.setattr(sandbox, "DRAIN", 1.0)
    report = drilled(tmp_path, 1)
    assert (report["clean"], report["drained"], report["longest_recovery"]) == (False, False, None)
    assert report["sent"]["refused"] > 0, "the relay was never at 503: nothing was proved"
    assert report["figures"]["lost"] == 0
