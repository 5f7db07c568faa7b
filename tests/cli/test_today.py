"""A spool without a relay: what is on its way in part, and what has left."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from relay.core.model import Status
from relay.sandbox.ports import free_ports
from relay.spool import Journal
from relay.spool.file import connect_reader
from relay.spool.lock import Lock
from relay.spool.salvage import salvage
from tests.cli.typed import relay
from tests.running import event, settings
from tests.spool.samples import FLIGHT, MIB, NOW, alter, append, entry, opened, published, settle

if TYPE_CHECKING:
    from pathlib import Path

TOPICS = ("a", "b", "c")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Configure three topics, over the spool that the test writes, and no relay."""
    file = tmp_path / "relay.yaml"
    routes = [{"name": "all", "topics": list(TOPICS)}]
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "", routes=routes, admin={"port": free_ports(1)[0]})))
    return str(file)


def test_of_a_pending_delivery_each_record_has_its_place(config: str, tmp_path: Path) -> None:
    """One record is in Kafka, one in a flight, one waits in its lane; that no relay runs is said."""
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=event(event_id="1")))
        store.commit((), [Journal(flights=(replace(FLIGHT, topic="b"),))], NOW)
        settle(store, replace(published(1, "a", TOPICS), flight=9))
    found = json.loads(relay("deliveries", "show", "1", "--json", "-c", config).stdout)
    assert [(record["topic"], record["flight"]) for record in found["records"]] == [("a", 9)]
    assert [(flight["topic"], flight["flight"]) for flight in found["flights"]] == [("b", 1)]
    assert (found["waiting"], found["relay"], found["verified"]) == (["c"], None, False)
    text = relay("explain", "1", "-c", config).stdout
    for line in (
        "a: in Kafka, partition 0, offset 101, carried by flight 9",
        "b: in flight 1 to partition 2 since ",
        "c: by these rules it waits for its turn in the lane of c",
        "no relay runs on this spool: it goes on when one is started",
    ):
        assert line in text


def test_what_other_rules_will_make_of_a_pending_one_is_told(config: str, tmp_path: Path) -> None:
    """Nothing of it was sent yet, and a start routes it anew: what comes of that is a note, unless it is published."""
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=event(event_id="1")))
    assert json.loads(relay("explain", "1", "--json", "-c", config).stdout)["differs"] is None
    changed = tmp_path / "changed.yaml"
    for routes, fate, code in (
        ([{"name": "none", "match": {"type": "Other"}, "topics": ["a"]}], "dead, unroutable", 1),
        ([{"name": "silence", "drop": True}], "dropped by the rule silence", 0),
    ):
        changed.write_text(json.dumps(json.loads((tmp_path / "relay.yaml").read_text()) | {"routes": routes}))
        done = relay("explain", "1", "-c", str(changed))
        note = f"note: a relay that is started with these rules makes it {fate}"
        assert (done.returncode, done.stdout.splitlines()[-1]) == (code, note)


@pytest.mark.parametrize("port", ["none", "nobody's"])
def test_a_relay_that_does_not_answer_is_not_taken_for_none(tmp_path: Path, port: str) -> None:
    """Who has the spool's lock runs, wherever he listens; and who answers without it is another one."""
    file = tmp_path / "relay.yaml"
    admin = {"port": 0 if port == "none" else free_ports(1)[0]}
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "a", admin=admin)))
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=event(event_id="1")))
    assert "no relay runs on this spool" in relay("explain", "1", "-c", str(file)).stdout
    with closing(Lock(tmp_path / "spool.db")):
        text = relay("explain", "1", "-c", str(file)).stdout
        found = json.loads(relay("deliveries", "show", "1", "--json", "-c", str(file)).stdout)
    why = "admin.port is 0" if port == "none" else f"does not answer at 127.0.0.1 port {admin['port']}"
    assert "a relay runs on this spool" in text
    assert why in text
    assert (found["relay"], why in found["silence"]) == (None, True)


def test_what_waits_for_its_source_is_told(config: str, tmp_path: Path) -> None:
    """A start alone does not help it."""
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=event(event_id="1"), source="gone"))
    done = relay("explain", "1", "-c", config)
    assert done.stdout.splitlines()[-1] == "note: it waits until the source gone is configured again"


@pytest.mark.parametrize("named", ["1", "gone"])
def test_what_has_left_is_told_with_its_number_and_time(config: str, tmp_path: Path, named: str) -> None:
    """By number and by id: when it was accepted, and that it was published or dropped; exit 1."""
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("gone", status=Status.DROPPED))
        store.sweep(NOW + 1)
    for verb in (["explain"], ["deliveries", "show"]):
        done = relay(*verb, named, "-c", config)
        assert done.returncode == 1
        told = "delivery 1 was accepted at 1970-01-12T13:46:40.000Z, was published or dropped, and has left the spool"
        assert told in done.stdout
        done = relay(*verb, named, "--json", "-c", config)
        assert json.loads(done.stdout) == {"delivery": 1, "accepted": "1970-01-12T13:46:40.000Z", "kept": False}


def test_of_what_may_be_lost_no_end_is_made_up(config: str, tmp_path: Path) -> None:
    """Once a damaged file has cost deliveries, one that is not kept may be one of those; the audit tells them."""
    spool = tmp_path / "spool.db"
    with opened(spool) as store:
        append(store, entry("1"), entry("2"))
    alter(spool, "DELETE FROM bodies WHERE number = 1")
    salvage(spool, connect_reader(spool), 2)
    done = relay("deliveries", "show", "1", "-c", config)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "delivery 1 was accepted at 1970-01-12T13:46:40.000Z, and is not in the spool any more",
        "  it was published or dropped and has left, or is one of 1 lost with a damaged file",
    ]
    found = json.loads(relay("deliveries", "show", "1", "--json", "-c", config).stdout)
    assert (found["kept"], found["maybe_lost"]) == (False, True)
    done = relay("audit", "-c", config)
    assert done.returncode == 1
    assert "WRONG: 1 were lost with a damaged file" in done.stdout
    assert "adds up" not in done.stdout
    assert json.loads(relay("audit", "--json", "-c", config).stdout)["totals"]["lost"] == 1


def test_what_has_lost_its_body_is_told_without_it(config: str, tmp_path: Path) -> None:
    """Swept to make room, a body can neither be shown nor judged anew; all else is told, and nothing is made up."""
    with opened(tmp_path / "spool.db", max_size=2 * MIB) as store:
        append(store, entry("1", body=event(event_id="1"), status=Status.DROPPED))
        while not store.usage.short:
            append(store, entry(str(store.last_number + 1), body=bytes(60_000), status=Status.DROPPED))
        assert store.sweep(0)
    found = json.loads(relay("deliveries", "show", "1", "--json", "-c", config).stdout)
    assert (found["status"], found["bytes"], found["verified"]) == ("dropped", None, None)
    text = relay("explain", "1", "-c", config).stdout
    for line in (
        "its body swept to make room",
        "not checked: the body has left the spool",
        "nothing: the body has left",
    ):
        assert line in text
    for option in ("--raw", "--body"):
        refused = relay("deliveries", "show", "1", option, "-c", config)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("relay: delivery 1: the body has left the spool, to make room")
