"""Dead letters are mirrored by a relay that starts where another was ended, without the two in each other's way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from relay import config
from relay.app import Relay
from relay.core.model import Mirror, Status
from relay.spool import Journal
from tests.lane.fake_kafka import FakeKafka
from tests.running import event, settings
from tests.spool.samples import FLIGHT, append, entry, look, opened
from tests.spool.samples import until as became

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from relay.kafka import Cluster
    from relay.spool import Flight


class Kafka(FakeKafka):
    """One that a relay closes when it ends."""

    async def close(self) -> None:
        """Do nothing."""


def relay_on(folder: Path, kafka: Kafka, topic: str | None = "dlq") -> Relay:
    """Give a relay that mirrors into a topic; nothing runs yet."""
    near = {"bootstrap_servers": ["127.0.0.1:1"], "idle_timeout": "1s"}
    written = settings("", folder, "changed.{type}", kafka=near, dead_letters={"topic": topic})
    (folder / "relay.yaml").write_text(json.dumps(written))
    return Relay(config.load(folder / "relay.yaml", {}), cast("Cluster", kafka))


async def test_mirroring_waits_for_the_flights_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While flights into the mirrors' topic are taken over, no mirror opens a second lane there: each is once."""
    body = event(kind="Unknown")
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=body, status=Status.DEAD), entry("2", body=body, status=Status.DEAD))
        mirror = Mirror(1, "dlq", "unroutable", "no rule matches")
        append(store, replace(entry("1", body=body), copy=mirror, topics=("dlq",)))
        aloft = replace(FLIGHT, topic="dlq", cluster="fake", base_sequence=0, items=((3, b"key"),))
        store.commit((), (Journal(flights=(aloft,)),), 1.0)
    kafka = Kafka()
    kafka.create_topic("dlq")
    relay = relay_on(tmp_path, kafka)
    flights = relay.spool.flights

    async def slow() -> list[Flight]:
        for _ in range(50):  # as a slow disk: time enough for a mirror, were one made now
            await asyncio.sleep(0.01)
        return await flights()

    monkeypatch.setattr(relay.spool, "flights", slow)
    async with relay.running():
        await became(lambda: relay.spool.last_number == 4 and not relay.spool.pending)
        await became(lambda: not relay.forwarder.lanes)
    found: list[dict[str, Any]] = [
        json.loads(record.value) for partition in kafka.topics["dlq"].partitions for _, record in partition.log
    ]
    assert Counter(one["deaddelivery"] for one in found) == {"1": 1, "2": 1}


async def test_mirrors_on_their_way_go_where_they_are_to_go_today(tmp_path: Path) -> None:
    """A topic that was named wrongly is not waited for."""
    body = event(kind="Unknown")
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("1", body=body, status=Status.DEAD))
        append(store, replace(entry("1", body=body), copy=Mirror(1, "typo", "unroutable", "none"), topics=("typo",)))
    kafka = Kafka()
    kafka.create_topic("dlq")
    relay = relay_on(tmp_path, kafka)
    async with relay.running():
        await became(lambda: not relay.spool.pending)
    assert look(tmp_path / "spool.db", "SELECT number, topic FROM records") == [(2, "dlq")]


async def test_without_a_topic_mirrors_are_dropped_and_made_again(tmp_path: Path) -> None:
    """Their dead letters are as if they never had one, until there is a topic again."""
    body, path = event(kind="Unknown"), tmp_path / "spool.db"
    with opened(path) as store:
        append(store, entry("1", body=body, status=Status.DEAD))
        append(store, replace(entry("1", body=body), copy=Mirror(1, "typo", "unroutable", "none"), topics=("typo",)))
    kafka = Kafka()
    kafka.create_topic("dlq")
    relay = relay_on(tmp_path, kafka, None)
    async with relay.running():
        await became(lambda: not relay.spool.pending)
        counted = b'relay_deliveries_dropped_total{route="other",source="contoso"} 1.0'
        await became(lambda: counted in relay.metrics.render())  # just after the commit, as the line in the log is
    assert look(path, "SELECT number, status, mirrored FROM deliveries") == [(1, "dead", None), (2, "dropped", None)]
    relay = relay_on(tmp_path, kafka)
    async with relay.running():
        await became(lambda: relay.spool.last_number == 3 and not relay.spool.pending)
    assert look(path, "SELECT number, topic FROM records") == [(3, "dlq")]
