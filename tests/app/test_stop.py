"""How the relay stops: in order, in time, and without losing what it answered 2xx."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.records import ids
from tests.running import Running, event, request, settings, signed, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster


def names_of(count: int) -> list[str]:
    """Give ids that tell their order."""
    return [f"{number:06}" for number in range(count)]


def test_what_is_in_flight_is_answered(kafka: Cluster, tmp_path: Path) -> None:
    """SIGTERM: not ready, no new connections; an upload that is under way is answered `published`; exit 0."""
    body = event(event_id="slow")
    with Running(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "stop.slow", ack={"timeout": "10s"})) as relay:
        with relay.wire() as wire:
            wire.send(request(body, signed(body))[:-5])
            until(lambda: relay.metric("relay_requests_in_flight") == 1)
            relay.signal()
            until(lambda: relay.get("/readyz").status == 503)
            assert b"[-] listener: stopping" in relay.get("/readyz?verbose").body
            until(lambda: refuses(relay))
            wire.send(body[-5:])
            answer = wire.answer()
            assert (answer.status, answer.fields["status"]) == (202, "published")
            assert answer.headers["connection"] == "close"
        assert relay.wait() == 0
        assert [line["event"] for line in (*relay.told("relay.draining"), *relay.told("relay.stopped"))] == [
            "relay.draining",
            "relay.stopped",
        ]
    assert ids(kafka, "stop.slow") == ["slow"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_relay_stops_at_once(kafka: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    """With nothing to do a stop takes no time, also beside connections that are idle; exit 0."""
    with Running(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "stop.idle")) as relay, relay.wire() as wire:
        body = event()
        assert wire.ask(request(body, signed(body))).status == 202
        relay.settle()
        started = time.monotonic()
        relay.signal(number)
        assert relay.wait() == 0
        assert time.monotonic() - started < 4
        assert wire.rest() == b""


def test_what_is_pending_is_published_before_the_end(kafka: Cluster, tmp_path: Path) -> None:
    """A stop publishes what is pending as long as `stop.timeout` allows."""
    with Running(
        tmp_path, settings(kafka.bootstrap_servers, tmp_path, "stop.pending", ack={"after": "stored"})
    ) as relay:
        kafka.pause(1)
        try:
            for name in names_of(50):
                assert relay.post(event(event_id=name)).fields["status"] == "stored"
            relay.signal()
            until(lambda: relay.told("relay.draining", pending=50))
        finally:
            kafka.resume(1)
        assert relay.wait() == 0
        assert len(relay.told("delivery.published")) == 50
    assert ids(kafka, "stop.pending") == names_of(50)


@pytest.mark.parametrize("again", [False, True])
def test_a_stop_is_bounded_and_the_next_start_goes_on(kafka: Cluster, tmp_path: Path, again: bool) -> None:
    """With Kafka away a stop leaves within `stop.timeout`, or at a second SIGTERM at once; the rest comes later."""
    topic = f"stop.bounded-{again}"
    stop = {"timeout": "60s" if again else "500ms"}
    configuration = settings(kafka.bootstrap_servers, tmp_path, topic, ack={"after": "stored"}, stop=stop)
    with Running(tmp_path, configuration) as relay:
        assert relay.post(event(event_id="000000")).status == 202
        relay.settle()
        kafka.pause(1)
        try:
            for name in names_of(40)[1:]:
                assert relay.post(event(event_id=name)).fields["status"] == "stored"
            started = time.monotonic()
            relay.signal()
            if again:
                until(lambda: relay.told("relay.draining"))
                relay.signal()
            assert relay.wait() == 0
            assert time.monotonic() - started < 4
        finally:
            kafka.resume(1)
        relay.start()
        relay.settle()
        assert relay.metric("relay_possible_duplicates_total") == 0
        assert relay.stop() == 0
    assert ids(kafka, topic) == names_of(40)


def test_a_stop_waits_neither_for_kafka_nor_for_slow_uploads(kafka: Cluster, tmp_path: Path) -> None:
    """With Kafka away and uploads that never end it leaves in time; all that was acknowledged is on disk, and comes."""
    configuration = settings(
        kafka.bootstrap_servers, tmp_path, "stop.deaf", ack={"timeout": "200ms"}, stop={"timeout": "2s"}
    )
    with Running(tmp_path, configuration) as relay:
        kafka.pause(1)
        try:
            for name in names_of(20):
                assert relay.post(event(event_id=name)).fields["status"] == "stored"
            slow = [relay.wire() for _ in range(5)]
            for wire in slow:
                body = event()
                wire.send(request(body, signed(body))[:-5])
            until(lambda: relay.metric("relay_requests_in_flight") == 5)
            started = time.monotonic()
            relay.signal()
            assert relay.wait() == 0
            assert time.monotonic() - started < 25  # the stop's 2 s, and what a slow machine adds; kill -9 comes at 30
            for wire in slow:
                wire.close()
        finally:
            kafka.resume(1)
        assert relay.told("relay.stopped", pending=20)
        relay.start()
        relay.settle()
        assert relay.stop() == 0
    assert ids(kafka, "stop.deaf") == names_of(20)


def test_a_repeat_is_recognised_after_a_restart(kafka: Cluster, tmp_path: Path) -> None:
    """Ids outlive the process, and so does the receipt of the first; also after kill -9."""
    body = event(event_id="once")
    with Running(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "stop.repeat")) as relay:
        first = relay.post(body).fields
        relay.settle()
        assert relay.stop() == 0
        relay.start()
        assert relay.post(body).fields == {**first, "status": "duplicate", "first": "published"}
        relay.kill9()
        relay.start()
        assert relay.post(body).fields == {**first, "status": "duplicate", "first": "published"}
        conflict = relay.post(event("Sales", event_id="once")).fields
        assert (conflict["status"], conflict["reason"]) == ("dead", "id_conflict")
        assert relay.stop() == 0
    assert ids(kafka, "stop.repeat") == ["once"]


def test_a_stop_under_load_loses_nothing(kafka: Cluster, tmp_path: Path) -> None:
    """Senders that go on posting get an answer or no connection; every id answered 2xx is in Kafka, once."""
    with Running(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "stop.load")) as relay:
        answered: list[str] = []

        def post(client: int) -> None:
            for number in range(10_000):
                try:
                    answer = relay.post(event(event_id=f"{client}/{number}"))
                except OSError:
                    return
                assert answer.status == 202
                answered.append(f"{client}/{number}")

        with ThreadPoolExecutor(4) as pool:
            posting = [pool.submit(post, client) for client in range(4)]
            until(lambda: len(answered) > 200)
            relay.signal()
            assert relay.wait() == 0
            for future in posting:
                future.result(20)
        relay.start()
        relay.settle()
        assert relay.stop() == 0
    found = ids(kafka, "stop.load")
    assert len(found) == len(set(found))
    assert set(answered) <= set(found)


def refuses(relay: Running) -> bool:
    """Tell whether the relay takes no new connections."""
    try:
        relay.wire().close()
    except ConnectionRefusedError:
        return True
    return False
