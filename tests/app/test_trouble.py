"""Kafka slow, away, or without a topic; a spool that is full: what senders are told, and what becomes of it."""

from __future__ import annotations

import re
import time
from calendar import timegm
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kafka.admin import Admin
from tests.kafka.cluster import Cluster
from tests.records import ids
from tests.running import Running, event, settings, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire import Answer

FAST = {"request_timeout": "1s"}


def named(count: int, start: int = 0) -> list[str]:
    """Give ids that tell their order."""
    return [f"{number:06}" for number in range(start, start + count)]


def post_all(relay: Running, names: list[str]) -> list[Answer]:
    """Post a delivery of one key for each id, one after the other."""
    return [relay.post(event(event_id=name)) for name in names]


def test_an_answer_waits_for_kafka_so_long_and_no_longer(kafka: Cluster, tmp_path: Path) -> None:
    """`ack.timeout` turns `published` into `stored`; the delivery is published later, and its line says both."""
    with Running(
        tmp_path, settings(kafka.bootstrap_servers, tmp_path, "trouble.slow", ack={"timeout": "400ms"})
    ) as relay:
        assert relay.post(event()).status == 202
        relay.settle()
        kafka.pause(1)
        try:
            started = time.monotonic()
            answer = relay.post(event(event_id="late")).fields
            assert time.monotonic() - started >= 0.4
            assert relay.metric("relay_flights") == 1
            assert relay.metric("relay_flight_oldest_seconds") >= 0.3
        finally:
            kafka.resume(1)
        assert (answer["status"], answer["records"]) == ("stored", [])
        relay.settle()
        assert relay.told("delivery.published", id="late", answered="stored")
        assert relay.post(event(event_id="late")).fields["first"] == "published"
        assert relay.stop() == 0
    assert ids(kafka, "trouble.slow").count("late") == 1


def test_an_answer_may_leave_when_it_is_on_disk(kafka: Cluster, tmp_path: Path) -> None:
    """`ack.after: stored` never waits for Kafka, and publishes all the same."""
    with Running(
        tmp_path, settings(kafka.bootstrap_servers, tmp_path, "trouble.disk", ack={"after": "stored", "timeout": "60s"})
    ) as relay:
        kafka.pause(1)
        try:
            answers = post_all(relay, named(20))
        finally:
            kafka.resume(1)
        assert {answer.fields["status"] for answer in answers} == {"stored"}
        relay.settle()
        assert relay.stop() == 0
    assert ids(kafka, "trouble.disk") == named(20)


def fill(relay: Running, name: str, accepted: list[str]) -> Answer:
    """Post deliveries until one is refused, and note the ids of the others; give the refusal."""
    while (answer := relay.post(event(name, event_id=f"{len(accepted):06}"))).status == 202:
        accepted.append(f"{len(accepted):06}")
    return answer


@pytest.mark.usefixtures("kafka_installed")
def test_kafka_away_costs_nobody_a_delivery(tmp_path: Path) -> None:
    """Started with Kafka away the relay is ready, stores, stops in time and keeps; Kafka back, all is in order."""
    cluster = Cluster()
    configuration = settings(
        cluster.bootstrap_servers, tmp_path, "trouble.away", ack={"timeout": "1s"}, stop={"timeout": "1s"}, kafka={
            "bootstrap_servers": [cluster.bootstrap_servers], **FAST
        }
    )  # fmt: skip
    with Running(tmp_path, configuration) as relay:
        first = relay.post(event(event_id="000000"))
        until(lambda: relay.told("lane.failed"))
        started = time.monotonic()
        answers = [first, *post_all(relay, named(99, 1))]
        assert time.monotonic() - started < 5, "a lane in trouble is not waited for"
        assert {answer.fields["status"] for answer in answers} == {"stored"}
        rows = relay.get("/readyz?verbose")
        assert rows.status == 200
        assert b"[!] lane trouble.away" in rows.body
        started = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - started < 4
        relay.start()
        assert relay.metric("relay_deliveries_pending") == 100
        post_all(relay, named(20, 100))
        with cluster:
            relay.settle()
            assert relay.post(event(event_id="000120")).fields["status"] == "published"
            assert relay.stop() == 0
            assert ids(cluster, "trouble.away") == named(121)


def test_a_missing_topic_holds_back_only_itself(kafka: Cluster, tmp_path: Path) -> None:
    """A topic that is missing and may not be created is an error in the log and a row; the others go on."""
    kafka.create_topic("trouble.there")
    routes = [
        {"name": "lost", "match": {"type": "ProvisioningFailed"}, "topics": ["trouble.missing"]},
        {"name": "all", "topics": ["trouble.there"]},
    ]
    connection = {"bootstrap_servers": [kafka.bootstrap_servers], "topics": {"create": False}, **FAST}
    began = int(time.time())
    with Running(tmp_path, settings("", tmp_path, "", routes=routes, kafka=connection)) as relay:
        until(lambda: relay.told("topic.missing", topic="trouble.missing", level="error"))
        for name in named(10):
            assert relay.post(event(kind="ProvisioningFailed", event_id=f"held-{name}")).fields["status"] == "stored"
            assert relay.post(event(event_id=name)).fields["status"] == "published"
        rows = relay.get("/readyz?verbose")
        assert (rows.status, b"[!] topic trouble.missing: " in rows.body) == (200, True)
        until(lambda: relay.metric("relay_deliveries_pending") == 10)
        assert relay.metric("relay_lane_pending_records", topic="trouble.missing") == 10
        told = re.search(
            r"^\[!\] lane trouble\.missing: topic trouble\.missing does not exist; create it, or set "
            r"kafka\.topics\.create; since (\S+Z); 10 records \(0\.0 MiB\) wait, the oldest for \d+ s, 0 flights$",
            relay.get("/readyz?verbose").body.decode(),
            re.MULTILINE,
        )
        assert told
        missed = [datetime.fromisoformat(str(line["timestamp"])) for line in relay.told("topic.missing")]
        assert began <= timegm(time.strptime(told[1], "%Y-%m-%dT%H:%M:%SZ")) <= max(missed).timestamp()
        kafka.create_topic("trouble.missing")
        relay.settle()
        assert relay.post(event(kind="ProvisioningFailed", event_id="held-more")).fields["status"] == "published"
        until(lambda: b"[+] topics: " in relay.get("/readyz?verbose").body)
        assert relay.stop() == 0
    assert ids(kafka, "trouble.there") == named(10)
    assert ids(kafka, "trouble.missing") == [*(f"held-{name}" for name in named(10)), "held-more"]


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("kafka_installed")
def test_topics_in_trouble_leave_producers_to_the_others(tmp_path: Path) -> None:
    """With more topics below min.insync.replicas than producers may be open, others publish, long before a deadline."""
    names = ["trouble.held.a", "trouble.held.b", "trouble.held.c"]
    routes = [
        *({"name": name[-1], "match": {"content.name": name}, "topics": [name]} for name in names),
        {"name": "all", "topics": ["trouble.well"]},
    ]
    with Cluster(3, brief=True) as cluster:
        admin = Admin(cluster.bootstrap_servers)
        for name in names:
            admin.create(name, [[1, 3]], {"min.insync.replicas": "2"})
        admin.create("trouble.well", [[1, 2]], {"min.insync.replicas": "2"})
        admin.wait_until_whole()
        cluster.kill(3)
        until(lambda: all(admin.in_sync(name) == {1} for name in names), 60)
        connection = {
            "bootstrap_servers": cluster.bootstrap_servers.split(","),
            "max_producers": 2,
            "delivery_timeout": "10m",
            "idle_timeout": "1s",
        }
        sections = {"ack": {"timeout": "100ms"}, "stop": {"timeout": "1s"}, "kafka": connection}
        with Running(tmp_path, settings("", tmp_path, "", routes=routes, **sections)) as relay:
            for name in names:
                for number in range(3):
                    assert relay.post(event(name, event_id=f"{name}-{number}")).fields["status"] == "stored"
            sent = 0
            while sent < 3 or not {line["topic"] for line in relay.told("lane.failed")} >= set(names):
                sent += 1
                relay.post(event(event_id=f"well-{sent}"))
                until(partial(relay.told, "delivery.published", id=f"well-{sent}"), 30)
            cluster.restart(3)
            until(lambda: relay.metric("relay_deliveries_pending") == 0, 60)
            assert relay.stop() == 0
        for name in names:
            assert ids(cluster, name) == [f"{name}-{number}" for number in range(3)]
        assert ids(cluster, "trouble.well") == [f"well-{number}" for number in range(1, sent + 1)]


def test_a_full_spool_refuses_and_drains(kafka: Cluster, tmp_path: Path) -> None:
    """503 with Retry-After, and not ready, only while nothing can be stored; what was taken is published."""
    spool = {"path": f"{tmp_path}/spool.db", "max_size": "2MiB", "retention": "0s"}
    listen = {"host": "127.0.0.1", "port": 0, "max_body": "64KiB"}
    configuration = settings(
        kafka.bootstrap_servers,
        tmp_path,
        "trouble.full",
        listen=listen,
        spool=spool,
        ack={"after": "stored", "timeout": "60s"},
    )
    with Running(tmp_path, configuration) as relay:
        accepted: list[str] = []
        kafka.pause(1)
        try:
            fill(relay, "n" * 50_000, accepted)
            answer = fill(relay, "small", accepted)
            assert (answer.status, answer.fields) == (503, {"error": "the delivery could not be stored"})
            assert int(answer.headers["retry-after"]) > 0
            until(lambda: relay.get("/readyz").status == 503)
            assert relay.post(event(), headers={}).status == 401
            repeat = relay.post(event("n" * 50_000, event_id="000000")).fields
            assert (repeat["status"], repeat["first"]) == ("duplicate", "stored"), "a repeat needs no room"
        finally:
            kafka.resume(1)
        relay.settle()
        until(lambda: relay.get("/readyz").status == 200)
        assert relay.post(event(event_id="after")).status == 202
        relay.settle()
        assert relay.metric("relay_deliveries_unavailable_total", cause="spool_full") >= 1
        assert relay.stop() == 0
    assert len(accepted) > 5
    assert sorted(map(str, ids(kafka, "trouble.full"))) == [*accepted, "after"]
