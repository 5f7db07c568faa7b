"""Rows of health with something to say: what they count, as an operator reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.running import Running, event, settings, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster

TOPIC = "rows.all"


def row(relay: Running, name: str) -> str:
    """Give the row of this name."""
    [line] = [line for line in relay.get("/readyz?verbose").body.decode().splitlines() if line[4:].startswith(name)]
    return line


def test_dead_letters_and_possible_duplicates_are_counted_in_their_rows(kafka: Cluster, tmp_path: Path) -> None:
    """How many dead letters there are, also after a crash; a record that may be in Kafka twice warns."""
    routes = [{"name": "some", "match": {"type": "ProvisioningStarted"}, "topics": [TOPIC]}]
    connection = {"bootstrap_servers": [kafka.bootstrap_servers], "idempotence": False}
    sections = {"ack": {"timeout": "400ms"}, "kafka": connection, "routes": routes}
    with Running(tmp_path, settings("", tmp_path, "", **sections)) as relay:
        assert row(relay, "dead letters: ").startswith("[+] dead letters: 0, 0.0 of ")
        for _ in range(2):
            assert relay.post(event(kind="ProvisioningFailed")).fields["status"] == "dead"
        assert row(relay, "dead letters: ").startswith("[+] dead letters: 2, 0.0 of ")
        assert relay.post(event()).status == 202
        relay.settle()
        assert row(relay, "duplicates: ") == (
            "[+] duplicates: not known, as kafka.idempotence is off; lane recoveries since the start: 0"
        )
        kafka.pause(1)
        try:
            assert relay.post(event()).fields["status"] == "stored"
            flown = re.search(r", 1 flight, the oldest sent (\d+) s ago$", row(relay, f"lane {TOPIC}: "))
            assert flown
            until(lambda: f", 1 flight, the oldest sent {int(flown[1]) + 2} s ago" in row(relay, f"lane {TOPIC}: "))
            relay.kill9()
        finally:
            kafka.resume(1)
        relay.start()
        relay.settle()
        assert row(relay, "dead letters: ").startswith("[+] dead letters: 2, 0.0 of ")
        assert row(relay, "duplicates: ") == (
            "[!] duplicates: records that may be in Kafka twice: 1, named in the log (flight.doubtful); "
            "lane recoveries since the start: 1"
        )
        assert relay.get("/readyz").status == 200
        assert relay.metric("relay_flights") == 0
        assert relay.stop() == 0
