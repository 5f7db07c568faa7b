"""A clock that is wrong, or is set while the relay runs: nothing is lost, doubled or out of order for it."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.sandbox.ports import free_ports
from tests.cli.typed import relay as run_verb
from tests.records import ids
from tests.running import KEY, PATH, Running, event, settings, until

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

CLOCK = Path(__file__).parents[1] / "clock"
HOUR = 3600


class Clocked(Running):
    """A relay whose clock can be set."""

    def __init__(self, folder: Path, configuration: dict[str, object]) -> None:
        """Let its clock be right at first."""
        self._clock = folder / "clock"
        self.set(0)
        super().__init__(folder, configuration, {"PYTHONPATH": str(CLOCK), "TEST_CLOCK": str(self._clock)})

    def set(self, off: float, *, frozen: bool = False) -> None:
        """Let it be so many seconds off, or stand at this time, from now on."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"frozen {off}" if frozen else f"{off}")
        fresh.replace(self._clock)


def post_all(relay: Running, names: list[str], status: str) -> None:
    """Post deliveries of one key, one after the other, each of which is answered with this status."""
    for name in names:
        assert relay.post(event(event_id=name)).fields["status"] == status


def fresh(name: str) -> bytes:
    """Give a delivery that was stamped now, by a clock that is right."""
    body = json.loads(event(event_id=name))
    body["meta"]["timeStamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return json.dumps(body).encode()


def named(first: int, count: int) -> list[str]:
    """Give ids that tell their order."""
    return [f"{number:06}" for number in range(first, first + count)]


@pytest.mark.parametrize("steps", [(3000, 0), (-HOUR, 0), (0, -HOUR, 3000, -2 * HOUR, 0)])
def test_a_clock_that_is_set_changes_nothing(kafka: Cluster, tmp_path: Path, steps: tuple[int, ...]) -> None:
    """Set forth or back by less than Kafka minds, also over a crash: published, in order, once; repeats are known."""
    topic = f"clock.steps{'.'.join(map(str, steps))}"
    spool = {"path": f"{tmp_path}/spool.db", "retention": "1h"}
    with Clocked(
        tmp_path, settings(kafka.bootstrap_servers, tmp_path, topic, ack={"timeout": "20s"}, spool=spool)
    ) as relay:
        for place, off in enumerate(steps):
            post_all(relay, named(20 * place, 10), "published")
            relay.set(off)
            post_all(relay, named(20 * place + 10, 10), "published")
            assert relay.post(event(event_id=f"{20 * place:06}")).fields["status"] == "duplicate"
            assert relay.metric("relay_lane_oldest_seconds") >= 0
            assert relay.metric("relay_dedupe_horizon_seconds") >= 0
            relay.kill9()
            relay.start()
            # What was acknowledged last may not have been settled, and is handed over again: a moment's recovery.
            until(lambda: relay.metric("relay_lanes") == relay.metric("relay_lanes", state="ready"))
        relay.settle()
        assert relay.metric("relay_deliveries_pending") == 0
        assert relay.stop() == 0
    assert ids(kafka, topic) == named(0, 20 * len(steps))


@pytest.mark.parametrize("ahead", [HOUR + 10, 3 * HOUR])
def test_a_clock_far_ahead_holds_lanes_until_it_is_right(kafka: Cluster, tmp_path: Path, ahead: int) -> None:
    """Kafka refuses what is from the future: it waits, the row says why, and it is published once, in order."""
    configuration = settings(kafka.bootstrap_servers, tmp_path, f"clock.{ahead}", ack={"timeout": "1s"})
    with Clocked(tmp_path, configuration) as relay:
        post_all(relay, named(0, 5), "published")
        relay.set(ahead)
        post_all(relay, named(5, 5), "stored")
        until(lambda: relay.told("lane.failed"))
        assert "INVALID_TIMESTAMP" in str(relay.told("lane.failed")[0]["error"])
        assert f"[!] lane clock.{ahead}: ".encode() in relay.get("/readyz?verbose").body
        assert relay.get("/readyz").status == 200
        relay.kill9()
        relay.start()
        until(lambda: len(relay.told("lane.failed")) > 1)
        post_all(relay, named(10, 5), "stored")
        relay.set(0)
        relay.settle()
        post_all(relay, named(15, 5), "published")
        assert relay.post(event(event_id="000007")).fields["status"] == "duplicate"
        assert relay.metric("relay_deliveries_dead_total") == 0
        assert relay.stop() == 0
    assert ids(kafka, f"clock.{ahead}") == named(0, 20)


def test_what_is_stale_for_a_wrong_clock_is_brought_back(kafka: Cluster, tmp_path: Path) -> None:
    """With `max_age` a clock that is ahead makes what is fresh `stale`; a replay publishes all of it."""
    sources = {"contoso": {"path": PATH, "keys": [KEY], "max_age": "10m"}}
    configuration = settings(
        kafka.bootstrap_servers, tmp_path, "clock.stale", sources=sources, ack={"timeout": "20s"},
        admin={"port": free_ports(1)[0]},
    )  # fmt: skip
    with Clocked(tmp_path, configuration) as relay:
        relay.set(3000)
        for name in named(0, 3):
            answer = relay.post(fresh(name)).fields
            assert (answer["status"], answer["reason"]) == ("dead", "stale")
        relay.set(0)
        assert relay.post(fresh("000003")).fields["status"] == "published"
        asked = ["deliveries", "replay", "--status", "dead", "--reason", "stale", "--yes", "-c", str(relay.config)]
        done = run_verb(*asked)
        assert done.returncode == 0, done.stderr
        relay.settle()
        assert relay.stop() == 0
    assert Counter(ids(kafka, "clock.stale")) == Counter(named(0, 4))


def test_a_clock_that_stands_still_stops_nothing(kafka: Cluster, tmp_path: Path) -> None:
    """Whoever waits for Kafka is let go in time, a stop is bounded, and idle lanes close: by another clock."""
    configuration = settings(
        kafka.bootstrap_servers,
        tmp_path,
        "clock.frozen",
        ack={"timeout": "500ms"},
        stop={"timeout": "1s"},
        kafka={"bootstrap_servers": [kafka.bootstrap_servers], "idle_timeout": "1s"},
    )
    with Clocked(tmp_path, configuration) as relay:
        relay.set(int(time.time()), frozen=True)  # not longer ago than Kafka keeps records
        post_all(relay, named(0, 5), "published")
        until(lambda: relay.told("lane.closed"))
        kafka.pause(1)
        try:
            post_all(relay, named(5, 5), "stored")
            assert relay.stop() == 0
        finally:
            kafka.resume(1)
        relay.start()
        relay.settle()
        assert relay.stop() == 0
    assert ids(kafka, "clock.frozen") == named(0, 10)


def test_a_duration_is_by_a_clock_that_nobody_sets(kafka: Cluster, tmp_path: Path) -> None:
    """A clock that is set back an hour makes no duration negative, nor one that is set forth makes it an hour."""
    configuration = settings(kafka.bootstrap_servers, tmp_path, "clock.duration", ack={"after": "stored"})
    with Clocked(tmp_path, configuration) as relay:
        for place, (off, later) in enumerate([(0, -HOUR), (-HOUR, 0)]):
            relay.set(off)
            kafka.pause(1)
            try:
                post_all(relay, named(place, 1), "stored")
                relay.set(later)
            finally:
                kafka.resume(1)
            relay.settle()
        until(lambda: len(relay.told("delivery.published")) == 2)
        durations = [float(str(line["duration_ms"])) for line in relay.told("delivery.published")]
        assert all(0 < duration < HOUR * 1000 for duration in durations)
        kafka.pause(1)
        try:
            post_all(relay, named(2, 1), "stored")
            relay.kill9()
            relay.set(-HOUR)
        finally:
            kafka.resume(1)
        relay.start()
        until(lambda: len(relay.told("delivery.published")) == 3)
        assert relay.told("delivery.published")[-1]["duration_ms"] == 0
        assert relay.stop() == 0
