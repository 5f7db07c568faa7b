"""Topics for which Kafka takes nothing: their lanes say why and since when, long before a deadline, and go on."""

from __future__ import annotations

import asyncio
import re
import time
from calendar import timegm
from typing import TYPE_CHECKING

import pytest

from relay.config.model import Kafka
from relay.core.model import Record
from relay.kafka import Cluster as Reached
from relay.kafka import Kind, Refused
from tests.kafka.admin import Admin
from tests.kafka.cluster import Cluster
from tests.records import ids
from tests.running import Running, event, request, settings, signed, until

if TYPE_CHECKING:
    from pathlib import Path

    from relay.kafka import Outcome

FEW, ORPHANED, GIVEN_UP = "delayed.few", "delayed.orphaned", "delayed.given-up"
REASONS = {FEW: "NOT_ENOUGH_REPLICAS", ORPHANED: "LEADER_NOT_AVAILABLE"}
LATE = 5  # seconds


def row(relay: Running, topic: str) -> str:
    """Give a lane's row of health."""
    lines = relay.get("/readyz?verbose").body.decode().splitlines()
    return next((line for line in lines if f" lane {topic}: " in line), "")


def since_when(relay: Running, topic: str, waiting: str) -> int:
    """Wait until the whole row of a topic is that of one that Kafka takes nothing for; give since when."""
    wanted = re.compile(
        rf"\[!\] lane {re.escape(topic)}: no answer yet; the last error was {REASONS[topic]}, of partition 0; "
        rf"since (\S+Z); {waiting}, the oldest for \d+ s, 1 flight, the oldest sent \d+ s ago"
    )
    until(lambda: wanted.fullmatch(row(relay, topic)))
    found = wanted.fullmatch(row(relay, topic))
    assert found
    return timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ"))


async def give_up(servers: tuple[str, ...], topic: str) -> Outcome:
    """Send a batch, and wait for a second."""
    reached = Reached(Kafka(servers, delivery_timeout=1.0))
    producer = await reached.open_producer(await reached.topic(topic))
    outcome = (await producer.send({0: [Record(topic, b"k", b"v", ())]}))[0]
    await producer.kill()
    await reached.close()
    return outcome


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("kafka_installed")
def test_a_topic_for_which_kafka_takes_nothing_says_why_and_heals(tmp_path: Path) -> None:
    """Below min.insync.replicas or without a leader, the row says so in seconds, and senders wait no longer.

    The flight and its producer stay: with the broker back that very batch is answered, and all is there once and in
    order. A batch that is given up says why as well.
    """
    routes = [{"name": topic[8:], "match": {"content.name": topic}, "topics": [topic]} for topic in REASONS]
    with Cluster(3, brief=True) as cluster:
        servers, admin = tuple(cluster.bootstrap_servers.split(",")), Admin(cluster.bootstrap_servers)
        for topic, replicas, needed in ((FEW, [1, 3], "2"), (GIVEN_UP, [1, 3], "2"), (ORPHANED, [3], "1")):
            admin.create(topic, [replicas], {"min.insync.replicas": needed})
        admin.wait_until_whole()
        connection = {"bootstrap_servers": servers, "delivery_timeout": "10m", "idle_timeout": "10m"}
        sections = {"ack": {"timeout": "5m"}, "kafka": {**connection, "request_timeout": "2m"}}
        with Running(tmp_path, settings("", tmp_path, "", routes=routes, **sections)) as relay:
            for topic in REASONS:
                assert relay.post(event(topic, event_id=f"{topic}-0")).fields["status"] == "published"
            cluster.kill(3)
            until(lambda: (admin.in_sync(FEW), admin.leaders(ORPHANED)) == ({1}, [-1]), 60)
            # That is what some broker says; the leader must know as well, or it takes the record and waits.
            until(lambda: REASONS[FEW] in str(asyncio.run(give_up(servers, GIVEN_UP))), 60)
            with relay.wire() as few, relay.wire() as orphaned:
                began = int(time.time())
                for wire, topic in ((few, FEW), (orphaned, ORPHANED)):
                    body = event(topic, event_id=f"{topic}-1")
                    wire.send(request(body, signed(body)))
                for topic in REASONS:
                    since = since_when(relay, topic, r"1 record \(0\.0 MiB\) waits")
                    assert began <= since <= time.time() - LATE
                    for number in (2, 3, 4):  # it would be in vain to wait for the client's patience
                        assert relay.post(event(topic, event_id=f"{topic}-{number}")).fields["status"] == "stored"
                    assert since_when(relay, topic, r"4 records \(0\.0 MiB\) wait") == since
                    assert relay.told("lane.delayed", topic=topic, level="warning")
                assert relay.get("/readyz").status == 200
                given_up = asyncio.run(give_up(servers, GIVEN_UP))
                cluster.restart(3)
                assert [wire.answer().fields["status"] for wire in (few, orphaned)] == ["published"] * 2
            relay.settle()
            until(lambda: all(row(relay, topic).startswith("[+]") for topic in REASONS))
            assert {line["topic"] for line in relay.told("lane.healed")} == set(REASONS)
            assert len(relay.told("lane.delayed")) == len(REASONS)
            assert not relay.told("lane.recovering")
            assert relay.stop() == 0
        for topic in REASONS:
            assert ids(cluster, topic) == [f"{topic}-{number}" for number in range(5)]
    assert given_up == Refused(
        Kind.CURABLE,
        "no answer within 1 s; the last error was NOT_ENOUGH_REPLICAS, of partition 0; the records may be in Kafka",
    )
