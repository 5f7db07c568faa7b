"""Dead letters replayed, on real Kafka: once, at the end, and told from the rest, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.kafka.reader import read_topic
from tests.running import RELAY, Running, event, settings, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster
    from tests.kafka.reader import StoredRecord


def rules(topic: str, match: str = "*") -> list[dict[str, object]]:
    """Give one rule for the types that match."""
    return [{"name": "all", "match": {"type": match}, "topics": [topic]}]


def relay_of(kafka: Cluster, folder: Path, routes: list[dict[str, object]], **sections: object) -> Running:
    """Give a relay whose admin listener a command finds; nothing runs yet."""
    admin = {"port": free_ports(1)[0]}
    return Running(folder, settings(kafka.bootstrap_servers, folder, "", routes=routes, admin=admin, **sections))


def mend(running: Running, routes: list[dict[str, object]]) -> None:
    """Change the rules in the file; the next start goes by them."""
    running.config.write_text(json.dumps(json.loads(running.config.read_text()) | {"routes": routes}))


def typed(running: Running, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a verb on deliveries with --json, and give its objects."""
    done = relay("deliveries", *arguments, "--json", "-c", str(running.config))
    assert done.returncode == code, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(kafka: Cluster, topic: str) -> list[StoredRecord]:
    """Read a topic whole."""
    return asyncio.run(read_topic(kafka.bootstrap_servers, topic))


def headers(record: StoredRecord) -> dict[str, bytes]:
    """Give a record's headers by name."""
    return dict(record.headers)


def id_of(record: StoredRecord) -> str:
    """Give the CloudEvent's id."""
    return str(json.loads(record.value or b"")["id"])


def test_a_dead_letter_is_published_by_mended_rules(kafka: Cluster, tmp_path: Path) -> None:
    """While the relay runs: its record is the last of its partition, once, and says of what it is a replay."""
    with relay_of(kafka, tmp_path, rules("replay.one", "Provisioning*")) as running:
        running.post(event(kind="Unknown", event_id="first"))
        assert typed(running, "replay", "1", "--yes", code=1)[0]["refused"].startswith("it would be dead again")
        running.post(event(event_id="second"))
        mend(running, rules("replay.one"))
        assert running.stop() == 0
        running.start()
        running.post(event(event_id="third"))
        (made,) = typed(running, "replay", "first", "--yes")
        assert made == {
            "delivery": 1, "reason": "unroutable", "topics": ["replay.one"], "replay": 4, "refused": None
        }  # fmt: skip
        (again,) = typed(running, "replay", "1", "--yes", code=1)
        assert again["refused"] == "it was replayed already, as delivery 4; only with --again is that done twice"
        running.settle()
        found = records(kafka, "replay.one")
        assert [id_of(record) for record in found] == ["second", "third", "first"]
        assert [headers(record).get("relay-replay") for record in found] == [None, None, b"1"]
        (first,), (replayed,) = typed(running, "show", "1"), typed(running, "show", "4")
        assert (first["status"], first["withdrawn"], first["replays"]) == ("dropped", "replayed", [4])
        assert (replayed["status"], replayed["replay_of"]) == ("published", 1)
        assert running.metric("relay_deliveries_replayed_total") == 1
        assert running.metric("relay_deliveries_withdrawn_total", withdrawn="replayed") == 1
        assert running.metric("relay_deliveries_accepted_total") + 1 == running.metric(
            "relay_deliveries_published_total"
        )
        assert running.told("delivery.replayed", delivery=4, replay_of=1)
        assert running.stop() == 0


def test_a_spool_at_rest_is_replayed_at_the_next_start(kafka: Cluster, tmp_path: Path) -> None:
    """Without a relay the rules of the file count, and the header is there after a restart as well."""
    with relay_of(kafka, tmp_path, rules("replay.rest", "Provisioning*")) as running:
        for number in range(3):
            running.post(event(kind="Unknown", event_id=f"rest-{number}"))
        assert running.stop() == 0
        mend(running, rules("replay.rest"))
        made = typed(running, "replay", "--status", "dead", "--reason", "unroutable", "--since", "1h", "--yes")
        assert [one["replay"] for one in made] == [4, 5, 6]
        assert typed(running, "replay", "--status", "dead", "--yes") == []
        running.start()
        running.settle()
        found = records(kafka, "replay.rest")
        assert [(id_of(record), headers(record)["relay-replay"]) for record in found] == [
            ("rest-0", b"1"), ("rest-1", b"2"), ("rest-2", b"3")
        ]  # fmt: skip
        assert running.stop() == 0


def test_what_is_published_is_replayed_once_or_again(kafka: Cluster, tmp_path: Path) -> None:
    """Into its topics or one given; a repeat of the event is a duplicate all along."""
    with relay_of(kafka, tmp_path, rules("replay.published")) as running:
        body = event(event_id="done")
        running.post(body)
        running.settle()
        assert typed(running, "replay", "done", "--topic", "replay.other", "--yes")[0]["topics"] == ["replay.other"]
        assert typed(running, "replay", "1", "--yes", code=1)[0]["replay"] is None
        assert typed(running, "replay", "1", "--again", "--yes")[0]["topics"] == ["replay.published"]
        assert running.post(body).fields["status"] == "duplicate"
        running.settle()
        assert [headers(record).get("relay-replay") for record in records(kafka, "replay.published")] == [None, b"1"]
        (other,) = records(kafka, "replay.other")
        (original, _) = records(kafka, "replay.published")
        assert (other.key, other.value) == (original.key, original.value)
        assert typed(running, "show", "1")[0]["replays"] == [2, 3]
        assert running.stop() == 0


def test_what_is_in_kafka_already_is_not_sent_again(kafka: Cluster, tmp_path: Path) -> None:
    """A delivery that is dead in one topic only is replayed into what is missing."""
    kafka.create_topic("replay.narrow", config={"max.message.bytes": "2000"})
    both: dict[str, object] = {"name": "both", "topics": ["replay.wide", "replay.narrow"]}
    with relay_of(kafka, tmp_path, [both]) as running:
        running.post(event("n" * 4_000, event_id="large"))
        running.settle()
        assert typed(running, "show", "large")[0]["reason"] == "too_large"
        assert running.stop() == 0
        mend(running, [{"name": "both", "topics": ["replay.wide", "replay.broad"]}])
        running.start()
        assert typed(running, "replay", "large", "--yes")[0]["topics"] == ["replay.broad"]
        running.settle()
        assert [id_of(record) for record in records(kafka, "replay.wide")] == ["large"]
        (broad,) = records(kafka, "replay.broad")
        assert headers(broad)["relay-replay"] == b"1"
        (shown,) = typed(running, "show", "2")
        assert (shown["status"], [record["topic"] for record in shown["records"]]) == (
            "published", ["replay.broad", "replay.wide"]
        )  # fmt: skip
        assert running.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_replays_are_once_whatever_is_killed(kafka: Cluster, tmp_path: Path) -> None:
    """The relay is killed again and again while dead letters are replayed: each is in Kafka once, none is lost."""
    count, routes = 400, rules("replay.killed")
    with relay_of(kafka, tmp_path, rules("replay.killed", "Provisioning*"), ack={"after": "stored"}) as running:
        for number in range(count):
            running.post(event(kind="Unknown", event_id=f"k-{number}"))
        assert running.stop() == 0
        mend(running, routes)
        running.start()
        command = [RELAY, "deliveries", "replay", "--status", "dead", "--yes", "-c", str(running.config)]
        kills = 0
        while typed(running, "list", "--status", "dead", "--limit", "1"):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as replaying:
                enough = running.text.count("delivery.replayed") + random.randint(1, 100)

                def due(enough: int = enough, asking: subprocess.Popen[bytes] = replaying) -> bool:
                    return running.text.count("delivery.replayed") >= enough or asking.poll() is not None

                until(due)
                running.kill9()
                kills += 1
                replaying.wait(30)
            running.start()
        running.settle()
        assert running.metric("relay_possible_duplicates_total") == 0
        found = [id_of(record) for record in records(kafka, "replay.killed")]
        assert sorted(found) == sorted(f"k-{number}" for number in range(count))
        assert all("relay-replay" in headers(record) for record in records(kafka, "replay.killed"))
        assert kills > 1
        assert running.stop() == 0


def test_dead_letters_are_mirrored(kafka: Cluster, tmp_path: Path) -> None:
    """Each is published once with its reason, those of before too; a mirror that is refused has none itself."""
    kafka.create_topic("replay.dead", config={"max.message.bytes": "3000"})
    with relay_of(kafka, tmp_path, rules("replay.good", "Provisioning*")) as running:
        running.post(event(kind="Unknown", event_id="before"))
        assert running.stop() == 0
        mended = json.loads(running.config.read_text()) | {"dead_letters": {"topic": "replay.dead"}}
        running.config.write_text(json.dumps(mended))
        running.start()
        until(lambda: running.told("delivery.mirrored", mirror_of=1))
        running.post(b"not JSON")
        running.post(event("n" * 4_000, kind="Unknown", event_id="large"))
        until(lambda: len(running.told("delivery.mirrored")) == 3)
        running.settle()
        (first, second) = sorted(records(kafka, "replay.dead"), key=lambda record: record.timestamp)
        assert (id_of(first), json.loads(first.value or b"")["deadreason"]) == ("before", "unroutable")
        assert json.loads(second.value or b"")["deadreason"] == "malformed"
        assert "relay-replay" not in headers(first)
        assert running.stop() == 0
        running.start()
        assert [(one["reason"], one["mirror_of"]) for one in typed(running, "list", "--status", "dead")] == [
            ("too_large", 4), ("unroutable", None), ("malformed", None), ("unroutable", None)
        ]  # fmt: skip
        assert len(records(kafka, "replay.dead")) == 2
        assert (
            typed(running, "replay", "6", "--yes", code=1)[0]["refused"] == "it mirrors the dead letter 4: replay that"
        )
        assert typed(running, "show", "1")[0]["mirrored"] == 2
        assert running.stop() == 0


def test_the_books_hold_whatever_was_replayed_discarded_or_mirrored(kafka: Cluster, tmp_path: Path) -> None:
    """`relay audit --kafka` finds nothing wrong, beside the relay and at rest, and counts what copies are."""
    mirrored = {"topic": "replay.books.dead"}
    routes = rules("replay.books", "Provisioning*")
    with relay_of(kafka, tmp_path, routes, dead_letters=mirrored) as running:
        for number in range(20):
            running.post(event(kind="Unknown" if number % 2 else "ProvisioningStarted", event_id=f"b{number:02}"))
        until(lambda: running.metric("relay_deliveries_mirrored_total") == 10)
        running.settle()
        typed(running, "replay", "b01", "b03", "--topic", "replay.books", "--yes")
        typed(running, "replay", "b00", "--yes")
        typed(running, "discard", "b05", "b07", "--because", "noise", "--yes")
        running.settle()
        beside = relay("audit", "--kafka", "-c", str(running.config))
        assert beside.returncode == 0, (beside.stdout, beside.stderr)
        assert running.stop() == 0
        rest = relay("audit", "--kafka", "-c", str(running.config))
        assert rest.returncode == 0, (rest.stdout, rest.stderr)
