"""kill -9 under load, on real Kafka: what was answered 2xx is there once, and in order."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.kafka.reader import read_topic
from tests.running import Running, event, request, settings, signed, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster
    from tests.kafka.reader import StoredRecord

KILLS = 20
CLIENTS = 8
TOPICS = {"kill.all", "kill.failed"}
ROUTES = [
    {"name": "failed", "match": {"type": "ProvisioningFailed"}, "topics": ["kill.failed"], "continue": True},
    {"name": "all", "topics": ["kill.all"]},
]


class Client:
    """One workspace's deliveries, one after the other: the next is posted once the last was answered 2xx.

    What got no answer is posted again, the same, once the relay is back.
    """

    def __init__(self, name: str, relay: Running, up: threading.Event, over: threading.Event) -> None:
        """Post to `relay` while `up`, until `over`."""
        self._name, self._relay, self._up, self._over = name, relay, up, over
        self.answered: list[str] = []

    def run(self) -> None:
        """Post until the end; every delivery that was begun is answered in the end."""
        while not self._over.is_set():
            kind = random.choice(["ProvisioningStarted", "ProvisioningFailed"])
            event_id = f"{self._name}/{len(self.answered)}/{kind}"
            body = event(self._name, kind=kind, event_id=event_id)
            while not self._post(request(body, signed(body))):
                pass
            self.answered.append(event_id)

    def _post(self, data: bytes) -> bool:
        assert self._up.wait(30)
        try:
            with self._relay.wire() as wire:
                return wire.ask(data).status == 202
        except OSError:
            return False


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_is_lost_doubled_or_reordered_by_twenty_kills(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every id answered 2xx is in each of its topics exactly once, in the order of its key, read uncommitted."""
    answered = _under_kills(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "", routes=ROUTES))
    found = {topic: asyncio.run(read_topic(kafka.bootstrap_servers, topic)) for topic in sorted(TOPICS)}
    due = {"kill.all": answered, "kill.failed": [one for one in answered if one.endswith("ProvisioningFailed")]}
    lost = sum(len(set(due[topic]) - set(_ids(found[topic]))) for topic in TOPICS)
    doubled = sum(count - 1 for topic in TOPICS for count in Counter(_ids(found[topic])).values())
    reordered = sum(_reordered(found[topic]) for topic in TOPICS)
    with capsys.disabled():
        print(f"\n{KILLS} kills: {len(answered)} answered, lost {lost}, doubled {doubled}, reordered {reordered}")  # noqa: T201 - the figures are asked for
    assert len(answered) > KILLS * CLIENTS
    assert (lost, doubled, reordered) == (0, 0, 0)


def _under_kills(folder: Path, configuration: dict[str, object]) -> list[str]:
    """Kill the relay again and again while clients post; give the ids answered, once nothing is pending."""
    up, over = threading.Event(), threading.Event()
    with Running(folder, configuration) as relay, ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(f"workspace-{number}", relay, up, over) for number in range(CLIENTS)]
        try:
            running = [pool.submit(client.run) for client in clients]
            for _ in range(KILLS):
                up.set()
                enough = _answered(clients) + random.randint(20, 300)
                until(lambda enough=enough: _answered(clients) >= enough)  # type: ignore[misc]
                relay.kill9()
                up.clear()
                relay.start()
        finally:
            over.set()
            up.set()
        for future in running:
            future.result(30)
        relay.settle()
        assert relay.metric("relay_possible_duplicates_total") == 0
        assert relay.told("lane.recovering"), "no kill met a batch on its way: nothing was proved"
        assert relay.stop() == 0
    return [one for client in clients for one in client.answered]


def _answered(clients: list[Client]) -> int:
    return sum(len(client.answered) for client in clients)


def _ids(records: list[StoredRecord]) -> list[str]:
    return [str(json.loads(record.value or b"")["id"]) for record in records]


def _reordered(records: list[StoredRecord]) -> int:
    """Count the records that stand behind a later one of their key; also those of a key on two partitions."""
    last: dict[str, tuple[int, int]] = {}
    wrong = 0
    for record, event_id in zip(records, _ids(records), strict=True):
        name, number, _ = event_id.split("/")
        place = (record.partition, int(number))
        before = last.setdefault(name, place)
        wrong += before[0] != place[0] or before[1] > place[1]
        last[name] = place
    return wrong
