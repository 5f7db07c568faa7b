"""What the benchmark sends, counts and prints; that it runs, `make bench` itself shows."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from bench import deliveries, ledger, table
from bench.lap import Lap
from relay.config import load
from relay.core.pipeline import process
from relay.core.signature import authenticate

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


def test_a_ratio_is_taken_within_its_round() -> None:
    """The table's ratio is the median of each round's own, not the ratio of medians."""
    plain = [Lap(1000, 1e-4, 1_000_000, 0.0), Lap(3000, 1e-4, 1_000_000, 0.0), Lap(4000, 1e-4, 1_000_000, 0.0)]
    relay = [Lap(900, 2e-4, 1_000_000, 0.0), Lap(900, 2e-4, 1_000_000, 0.0), Lap(3600, 2e-4, 1_000_000, 0.0)]
    lines = list(table.lines(plain, relay))
    assert lines[2] == "| deliveries a second | 3,000 (1,000..4,000) | 900 (900..3,600) | 0.90 (0.30..0.90) |"
    assert lines[3] == "| CPU us a delivery | 100 (100..100) | 200 (200..200) | 2.00 (2.00..2.00) |"
