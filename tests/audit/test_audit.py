"""`relay audit` as an operator types it: on a spool, beside a relay, and on real Kafka."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from relay.sandbox.ports import free_ports
from tests.running import RELAY, Running, event, settings, until
from tests.spool.samples import alter, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.cluster import Cluster

ROUTES: tuple[dict[str, object], ...] = (
    {"name": "failed", "match": {"type": "*Failed"}},
    {"name": "rest", "match": {"type": "Provisioning*"}},
)
KINDS = ("ProvisioningStarted", "ProvisioningFailed", "Other")
URI = "urn:syskit-point:contoso"


class Audited(NamedTuple):
    """A relay, its spool and its cluster; `prefix` begins its topics, and `ids` were published, in this order."""

    relay: Running
    spool: Path
    kafka: Cluster
    prefix: str
    ids: list[str]


class Said(NamedTuple):
    """What the audit printed: its two sums, and the ids it found, by the word for each."""

    code: int
    books: dict[str, object]
    kafka: dict[str, int]
    found: dict[str, list[str]]


def audit(ground: Audited, *options: str) -> Said:
    """Audit, with JSON."""
    command = [RELAY, "audit", "-c", str(ground.relay.config), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    books, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    found: dict[str, list[str]] = {}
    for line in lines[:-1]:
        found.setdefault(line["found"], []).append(line["id"])
    return Said(done.returncode, books, lines[-1]["kafka"] if lines else {}, found)


@pytest.fixture
def ground(kafka: Cluster, tmp_path: Path) -> Iterator[Audited]:
    """Give a relay that has published, buried and dropped some, and stands."""
    prefix = f"audit.{uuid.uuid4().hex[:8]}."
    topics = [f"{prefix}failed"], [f"{prefix}{{type}}"]
    routes: list[dict[str, object]] = [
        {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
        *[{**route, "topics": names} for route, names in zip(ROUTES, topics, strict=True)],
    ]
    configuration = settings(
        kafka.bootstrap_servers, tmp_path, "", routes=routes, admin={"port": free_ports(1)[0]}, ack={"timeout": "30s"}
    )
    with Running(tmp_path, configuration) as relay:
        ids = []
        for number in range(12):
            kind, id_ = KINDS[number % 3], str(uuid.uuid4())
            assert relay.post(event(f"w-{number % 2}", kind=kind, event_id=id_)).status == 202
            ids += [id_] if kind != "Other" else []
        assert relay.post(event(kind="Heartbeat")).status == 202
        relay.settle()
        yield Audited(relay, tmp_path / "spool.db", kafka, prefix, ids)


def write(ground: Audited, topic: str, id_: str, *, uri: str = URI, headers: dict[str, str] | None = None) -> None:
    """Write a record as another producer would."""
    producer = Producer({"bootstrap.servers": ground.kafka.bootstrap_servers})
    value = json.dumps({"specversion": "1.0", "id": id_, "source": uri, "type": "t", "data": {}})
    producer.produce(ground.prefix + topic, value, key=b"w", headers=list((headers or {}).items()))
    assert producer.flush(30) == 0


def test_what_is_whole_adds_up(ground: Audited) -> None:
    """Spool, metrics and Kafka agree: beside the relay, after its restart, and without one."""
    said = audit(ground, "--kafka")
    assert (said.code, said.books["faults"], said.found) == (0, [], {})
    assert said.books["metrics"] == {"accepted": 13, "published": 8, "dead": 4, "dropped": 1, "pending": 0}
    assert (said.kafka["read"], said.kafka["expected"]) == (8, 8)
    ground.relay.stop()
    ground.relay.start()
    ground.relay.post(event())
    ground.relay.settle()
    said = audit(ground, "--kafka")
    assert (said.code, said.found) == (0, {})
    assert said.books["metrics"] == {"accepted": 1, "published": 1, "dead": 0, "dropped": 0, "pending": 0}
    ground.relay.stop()
    said = audit(ground, "--kafka")
    assert (said.code, said.books["metrics"]) == (0, "no relay runs on this spool")


def test_each_id_that_is_wrong_is_named(ground: Audited) -> None:
    """A record that was written twice, one that nobody sent or had replayed, and one that is not where it should be."""
    write(ground, "ProvisioningStarted", ground.ids[0])
    write(ground, "failed", "forged")
    write(ground, "failed", ground.ids[1], headers={"relay-replay": "2"})
    ground.relay.stop()
    alter(ground.spool, 'UPDATE records SET "offset" = "offset" + 1 WHERE number = 2')
    [(missing,)] = look(ground.spool, "SELECT event_id FROM deliveries WHERE number = 2")
    said = audit(ground, "--kafka")
    assert said.code == 1
    assert said.found == {"doubled": [ground.ids[0]], "unknown": ["forged", ground.ids[1]], "missing": [missing]}


def test_what_is_no_loss_and_no_double_is_not_reported(ground: Audited) -> None:
    """Other producers' records, replays, and what retention took from Kafka or from the spool are as they should be."""
    write(ground, "failed", ground.ids[0], uri="urn:somebody-else")
    write(ground, "failed", "no event of ours", uri="")
    replay = [RELAY, "deliveries", "replay", "1", "--yes", "-c", str(ground.relay.config)]
    subprocess.run(replay, capture_output=True, check=True, timeout=60)
    ground.relay.settle()
    admin = AdminClient({"bootstrap.servers": ground.kafka.bootstrap_servers})
    [(topic, partition, offset)] = look(
        ground.spool, 'SELECT topic, partition, max("offset") FROM records WHERE topic LIKE "%Started"'
    )
    [truncated] = admin.delete_records([TopicPartition(str(topic), int(str(partition)), int(str(offset)))]).values()
    truncated.result()
    ground.relay.stop()
    alter(ground.spool, "DELETE FROM records WHERE number = 5; DELETE FROM deliveries WHERE number = 5")
    alter(ground.spool, "UPDATE totals SET gone = 1, swept_until = 1 WHERE moment = 'now'")
    said = audit(ground, "--kafka")
    assert (said.code, said.books["faults"], said.found) == (0, [], {})
    assert (said.kafka["of_others"], said.kafka["replayed"]) == (2, 1)
    assert said.kafka["not_retained"] > 0


def test_what_the_spool_has_forgotten_is_not_judged(ground: Audited) -> None:
    """A record whose delivery was swept, and its id forgotten, is counted as such, and nothing sent later is."""
    ground.relay.stop()
    alter(ground.spool, "DELETE FROM records WHERE number = 1; DELETE FROM deliveries WHERE number = 1")
    alter(ground.spool, "DELETE FROM ids WHERE number = 1")
    alter(ground.spool, "UPDATE totals SET gone = 1, swept_until = unixepoch('subsec') WHERE moment = 'now'")
    assert audit(ground, "--kafka").code == 0
    alter(ground.spool, "UPDATE totals SET swept_until = made_at WHERE moment = 'now'")
    assert audit(ground, "--kafka").found == {"unknown": [ground.ids[0]]}


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE totals SET accepted = 14 WHERE moment = 'now'",
            "14 were accepted by the totals, the last number given is 13",
        ),
        (
            "DELETE FROM deliveries WHERE number = 1",
            "8 published and dropped deliveries stand in the spool, .*should be 9",
        ),
        ("DELETE FROM deliveries WHERE number = 3", "3 dead deliveries stand in the spool, .*should be 4"),
        (
            "UPDATE deliveries SET status = 'pending' WHERE number = 1",
            "1 pending deliveries stand in the spool, .*be 0",
        ),
    ],
)
def test_a_spool_that_does_not_add_up_is_told(ground: Audited, statement: str, fault: str) -> None:
    """Totals and rows that differ are one sentence each, and exit 1."""
    ground.relay.stop()
    alter(ground.spool, statement)
    said = audit(ground)
    faults = said.books["faults"]
    assert isinstance(faults, list)
    assert said.code == 1
    assert any(re.search(fault, one) for one in faults), faults


def test_metrics_that_say_otherwise_are_told(ground: Audited) -> None:
    """What the running relay counted is held against the totals since its start."""
    alter(ground.spool, "UPDATE totals SET published = published - 1, accepted = accepted - 1 WHERE moment = 'started'")
    said = audit(ground)
    assert said.code == 1
    assert said.books["faults"] == [
        "the metrics count 13 accepted, the spool 14",
        "the metrics count 8 published, the spool 9",
    ]


def test_metrics_that_cannot_be_read_are_no_yes(ground: Audited) -> None:
    """Beside a relay that runs and does not answer, what adds up on disk alone is exit 70; what is wrong is exit 1."""
    written = json.loads(ground.relay.config.read_text())
    ground.relay.config.write_text(json.dumps(written | {"admin": {"port": free_ports(1)[0]}}))
    said = audit(ground, "--kafka")
    assert (said.code, said.books["faults"], said.found) == (70, [], {})
    assert str(said.books["metrics"]).startswith("a relay runs, but its metrics cannot be read: ")
    alter(ground.spool, "UPDATE totals SET accepted = accepted + 1 WHERE moment = 'now'")
    assert audit(ground).code == 1


def test_a_spool_made_anew_goes_on_with_what_was_counted(ground: Audited) -> None:
    """The metrics of a relay whose spool was deleted beneath it are held against the totals since its own start."""
    ground.relay.stop()
    ground.relay.start()
    assert ground.relay.post(event(kind="ProvisioningStarted")).status == 202
    ground.relay.settle()
    for file in ground.spool.parent.glob("spool.db*"):
        file.unlink()
    until(lambda: ground.relay.told("spool.salvaged") and ground.spool.exists())
    until(lambda: ground.relay.post(event(kind="Other")).status == 202)
    ground.relay.settle()
    said = audit(ground, "--kafka")
    assert (said.code, said.books["faults"], said.found) == (0, [], {})
    assert said.books["metrics"] == {"accepted": 2, "published": 1, "dead": 1, "dropped": 0, "pending": 0}


def test_an_audit_beside_a_relay_at_work_finds_nothing(ground: Audited) -> None:
    """While deliveries come in and are settled nothing is taken for wrong."""
    over = threading.Event()

    def post() -> None:
        while not over.is_set():
            ground.relay.post(event(kind="ProvisioningStarted"))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            said = audit(ground, "--kafka")
            assert (said.code, said.books["faults"], said.found) == (0, [], {})
    finally:
        over.set()
        for thread in threads:
            thread.join()
    until(lambda: ground.relay.metric("relay_deliveries_pending") == 0)


def test_without_a_spool_there_is_nothing_to_audit(tmp_path: Path) -> None:
    """A configuration with which no relay has run is a sentence and exit 70."""
    relay = Running(tmp_path, settings("127.0.0.1:1", tmp_path, "t"))
    done = subprocess.run(
        [RELAY, "audit", "-c", str(relay.config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (70, "")
    assert "there is no spool at" in done.stderr
