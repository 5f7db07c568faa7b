"""What the benchmark sends, counts and prints; that it runs, `make bench` itself shows."""

from __future__ import annotations

import asyncio
import base64
import io
import random
from pathlib import Path

import msgspec
import pytest

from bench import backlog, deliveries, isolation, ledger, rules, table, volley
from bench.table import Figure, Goal
from relay.config import load
from relay.core.pipeline import process
from relay.core.signature import authenticate
from relay.metrics import Metrics
from relay.spool import Spool, Stored
from tests.spool.samples import until

CONFIG = Path(__file__).parents[1] / "bench" / "relay.yaml"
VARIABLES = {
    "BENCH_KEY": deliveries.KEY,
    "BENCH_KAFKA": "localhost:9092",
    "BENCH_TOPIC": "bench.relay",
    "BENCH_ACK": "stored",
    "BENCH_FOLDER": "folder",
}
SCRAPE = """# TYPE relay_deliveries_accepted_total counter
relay_deliveries_accepted_total{source="bench"} 7.0
# TYPE relay_deliveries_published_total counter
relay_deliveries_published_total{source="bench",type="ProvisioningStarted"} 4.0
relay_deliveries_published_total{source="bench",type="ProvisioningFailed"} 3.0
# TYPE relay_deliveries_duplicate_total counter
relay_deliveries_duplicate_total{source="bench"} 2.0
# TYPE relay_answer_seconds histogram
relay_answer_seconds_count{status="published"} 5.0
relay_answer_seconds_count{status="stored"} 2.0
"""


def test_every_delivery_is_signed_and_publishable_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    """What is posted is accepted by the relay's own rules, under the configuration it is measured with, once each."""
    config = load(CONFIG, VARIABLES)
    (source,) = config.sources
    file = tmp_path / "deliveries"
    deliveries.write(file, 30)
    ids: set[str] = set()
    stream = io.BytesIO(file.read_bytes())
    while length := stream.read(8):
        head, _, body = stream.read(int(length)).partition(b"\r\n\r\n")
        headers = dict(line.split(": ") for line in head.decode().splitlines()[1:])
        assert int(headers["Content-Length"]) == len(body)
        signature, algorithm = headers["Signature"], headers["Algorithm"]
        delivery = authenticate(source, [signature], body, algorithms=[algorithm], received_at=0.0, traceparent=None)
        processed = process(delivery, source, config.routes, config.envelope)
        assert [record.topic for record in processed.records] == ["bench.relay"]
        assert head.startswith(f"POST {source.path} ".encode())
        ids.add(processed.event.id)
    assert len(ids) == 30


def test_bodies_are_of_the_documented_types_in_turn() -> None:
    """The load is a mixture of the three types that Syskit Point documents."""
    kinds = [msgspec.json.decode(body)["type"] for body in deliveries.bodies(4)]
    assert kinds == ["ProvisioningStarted", "ProvisioningCompleted", "ProvisioningFailed", "ProvisioningStarted"]


def test_a_ledger_adds_up_over_labels() -> None:
    """Each count of a scrape is the sum over its labels; outcomes that a benchmark must not have are one number."""
    assert ledger.parse(SCRAPE) == ledger.Ledger(7, 7, 0, 2, {"published": 5, "stored": 2})


@pytest.mark.parametrize(
    "now",
    [
        ledger.Ledger(9, 9, 1, 0, {}),
        ledger.Ledger(9, 8, 0, 0, {}),
        ledger.Ledger(9, 9, 0, 1, {}),
    ],
)
def test_a_ledger_tells_what_does_not_add_up(now: ledger.Ledger) -> None:
    """A delivery that is pending, missing, or had any outcome but being published, makes a run void."""
    start = ledger.Ledger(5, 5, 0, 0, {})
    assert start.differs_from(start) is None
    assert ledger.Ledger(9, 9, 0, 0, {}).differs_from(start) is None
    assert now.differs_from(start)


def test_a_ledger_takes_as_many_refusals_as_the_load_saw() -> None:
    """Under overload what was refused is expected, and only that."""
    start = ledger.Ledger(5, 5, 0, 1, {})
    assert ledger.Ledger(9, 9, 0, 4, {}).differs_from(start, range(3, 5)) is None
    assert ledger.Ledger(9, 9, 0, 4, {}).differs_from(start, range(3))
    assert ledger.Ledger(9, 9, 0, 4, {}).differs_from(start, range(4, 9))


def test_a_ratio_is_taken_within_its_round() -> None:
    """The table's ratio is the median of each round's own, not the ratio of medians."""
    rates = {"plain": [1000.0, 3000.0, 4000.0], "relay": [900.0, 900.0, 3600.0]}
    head, _, row = table.lines(rates, [Figure("a second", lambda rate: rate)], [("relay", "plain")])
    assert head == "| | plain | relay | relay / plain |"
    assert row == "| a second | 3,000 (1,000..4,000) | 900 (900..3,600) | 0.90 (0.30..0.90) |"


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (Goal("CPU", 1.2, 1.2), "| CPU | at most 1.2 | 1.20 | yes |"),
        (Goal("CPU", 1.21, 1.2), "| CPU | at most 1.2 | 1.21 | no |"),
        (Goal("rate", 0.9, 0.9, at_least=True), "| rate | at least 0.9 | 0.90 | yes |"),
        (Goal("rate", 0.89, 0.9, at_least=True), "| rate | at least 0.9 | 0.89 | no |"),
        (Goal("rate", None, 0.9), "| rate | at most 0.9 | void | no |"),
    ],
)
def test_a_goal_tells_whether_it_is_reached(goal: Goal, line: str) -> None:
    """A bound itself is still good; on its wrong side the table says no."""
    assert goal.line() == line


def test_a_percentile_is_one_of_the_values() -> None:
    """The share asked for is at or below it, and the next smaller value is not enough; the order does not matter."""
    values = [float(number) for number in range(1, 1001)]
    random.shuffle(values)
    assert [volley.percentile(values, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert volley.percentile([7.0], 0.001) == 7


RESULTS = b"""
{"seq":1,"code":429,"timestamp":"2026-11-24T21:00:01.5Z","latency":2000000,"headers":{"Retry-After":["1"]}}
{"seq":0,"code":202,"timestamp":"2026-11-24T21:00:01Z","latency":4000000,"error":"","body":null,"headers":{}}
{"seq":2,"code":0,"timestamp":"2026-11-24T21:00:02.1Z","latency":1000,"error":"EOF","body":null,"headers":null}
{"seq":3,"code":0,"timestamp":"2026-11-24T21:00:02.2Z","latency":900,"error":"no targets to attack","headers":null}
"""


def test_a_volley_counts_and_times_what_vegeta_tells() -> None:
    """Each request is accepted, refused or broken, unless none was made; rate and lateness are of what was sent."""
    fired = volley.Volley(volley.parse(RESULTS.strip()), asked=2)
    assert (len(fired.accepted), len(fired.refused), fired.broken) == (1, 1, 1)
    assert volley.latency(fired.accepted, 1) == pytest.approx(0.004)
    assert fired.sent == pytest.approx(2 / 1.1)
    assert fired.late(1) == pytest.approx(0.1)
    assert fired.refused[0].headers == {"Retry-After": ["1"]}


def test_a_target_is_the_same_signed_request(tmp_path: Path) -> None:
    """What vegeta sends is what wrk sends: method, path, body and both headers, each with an id of its own."""
    file = tmp_path / "targets"
    deliveries.write_targets(file, 3, 8080)
    targets = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
    bodies = [base64.b64decode(target["body"]) for target in targets]
    assert len(set(bodies)) == 3
    for target, body in zip(targets, bodies, strict=True):
        assert (target["method"], target["url"]) == ("POST", f"http://127.0.0.1:8080{deliveries.PATH}")
        head = deliveries.render(body).decode()
        assert all(f"\r\n{name}: {value}\r\n" in head for name, (value,) in target["header"].items())


def test_with_many_rules_the_last_one_matches(tmp_path: Path) -> None:
    """Rules of every kind are read, none but the last matches any delivery, and all name the topic of the rest."""
    file = tmp_path / "relay.yaml"
    rules.write(file, 30)
    config = load(file, VARIABLES)
    (source,) = config.sources
    assert len(config.routes) == 30
    for body in deliveries.bodies(60):
        delivery = authenticate(
            source, [deliveries.sign(body)], body, algorithms=["HMACSHA256"], received_at=0.0, traceparent=None
        )
        processed = process(delivery, source, config.routes, config.envelope)
        assert processed.routes == ("all",)
        assert [record.topic for record in processed.records] == ["bench.relay"]


def test_every_third_delivery_is_of_the_troubled_topic(tmp_path: Path) -> None:
    """The place of an answer says which topic it was for."""
    file = tmp_path / "isolation.yaml"
    isolation.write(file)
    config = load(file, VARIABLES)
    (source,) = config.sources
    for number, body in enumerate(deliveries.bodies(9)):
        delivery = authenticate(
            source, [deliveries.sign(body)], body, algorithms=["HMACSHA256"], received_at=0.0, traceparent=None
        )
        (record,) = process(delivery, source, config.routes, config.envelope).records
        assert (record.topic == isolation.TROUBLED_TOPIC) == (number % isolation.EACH == isolation.NTH)


def test_a_backlog_is_pending_signed_and_read_by_the_relay(tmp_path: Path) -> None:
    """What is written before a start is what a relay would have stored: each pending once, as it was signed."""
    variables = {**VARIABLES, "BENCH_FOLDER": str(tmp_path)}
    backlog.write(CONFIG, variables, 30)
    config = load(CONFIG, variables)
    (source,) = config.sources
    metrics = Metrics(sources=(), types=(), dropping=(), topics=(), version="1")

    async def read() -> tuple[int, list[Stored]]:
        settings = config.spool
        async with Spool(
            settings.path, max_size=settings.max_size, retention=settings.retention, remembered=100, metrics=metrics
        ) as spool:
            page = await spool.page(0, 100)
            await until(lambda: spool.horizon_since is not None)  # the ids are read beside all else
            return spool.horizon[0], page

    remembered, page = asyncio.run(read())
    assert (remembered, len(page)) == (30, 30)
    for stored in page:
        delivery = stored.delivery
        authenticate(source, [delivery.signature], delivery.body, algorithms=[], received_at=0.0, traceparent=None)
    assert len({stored.delivery.body for stored in page}) == 30
