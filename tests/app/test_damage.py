"""A spool that is damaged when the relay starts: what can be read is published, the rest is counted and set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from relay.spool import Flight, Journal
from tests.records import ids
from tests.running import Running, event, settings, until
from tests.spool.pages import Place, pages_of, root_of, ruin
from tests.spool.samples import alter, entry, opened, published

if TYPE_CHECKING:
    from pathlib import Path

    from relay.spool import Entry
    from tests.kafka.cluster import Cluster

COUNT, SETTLED, ALOFT = 400, 100, 10
PENDING = [f"{number:06}" for number in range(SETTLED + 1, COUNT + 1)]
TABLES = ("bodies", "deliveries", "records", "flights", "ids", "kept")


def delivery(number: int, topic: str) -> Entry:
    """Give a delivery of which three fill a page."""
    one = entry(f"{number:06}", body=event("M" * 1000, event_id=f"{number:06}"))
    return msgspec.structs.replace(one, topics=(topic,))


def fill(path: Path, topic: str) -> None:
    """Make a spool as a kill leaves it: some settled, some in a flight, the rest pending."""
    aloft = tuple((number, b"key") for number in range(SETTLED + 1, SETTLED + ALOFT + 1))
    flight = Flight(0, topic, 0, "another cluster", 4000, 1, 17, 12.5, aloft)
    with opened(path) as store:
        store.commit([delivery(number, topic) for number in range(1, COUNT + 1)], (), 1.0)
        settled = tuple(published(number, topic, (topic,)) for number in range(1, SETTLED + 1))
        store.commit((), [Journal(settled, flights=(flight,))], 1.0)


def start_on(kafka: Cluster, path: Path, topic: str) -> tuple[Running, list[str]]:
    """Start on the spool, publish what is pending and one more, and stop; give what Kafka has."""
    running = Running(path.parent, settings(kafka.bootstrap_servers, path.parent, topic, ack={"timeout": "20s"}))
    with running:
        until(lambda: running.post(event(event_id="new")).status == 202)  # 503 while the file is being made anew
        running.settle()
        lost = running.metric("relay_spool_lost_deliveries")
        assert running.stop() == 0
    found = [str(id_) for id_ in ids(kafka, topic)]
    missing = len(PENDING) + 1 - len(set(found))
    assert missing <= lost <= missing + (SETTLED if "deliveries" in topic else 0)
    assert set(found) <= {*PENDING, "new"}
    assert found[-1] == "new"
    return running, found


@pytest.mark.parametrize(
    ("table", "place"),
    [*((table, Place.ROOT) for table in TABLES), ("deliveries", Place.QUARTER), ("bodies", Place.QUARTER)],
)
def test_what_can_be_read_is_published(kafka: Cluster, tmp_path: Path, table: str, place: Place) -> None:
    """Wherever a page is ruined the relay serves, and says what it lost, how much, and where the old file is."""
    path, topic = tmp_path / "spool.db", f"damage.{table}.{place.name}"
    fill(path, topic)
    ruin(path, [root_of(path, table)] if place is Place.ROOT else [place.of(pages_of(path, table))])
    running, found = start_on(kafka, path, topic)
    mended = running.told("spool.salvaged")
    aside = [str(file) for file in tmp_path.glob("spool.db.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
    assert [line["aside"] for line in mended] in ([aside[0]] if aside else [], aside)
    if table in {"records", "flights", "ids", "kept"}:
        assert sorted(set(found)) == [*PENDING, "new"]
    if table in {"flights", "kept"}:
        assert mended
    if table == "flights":
        assert mended[0]["doubtful"] == len(PENDING)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE flights SET items = x'ff'",
        "UPDATE flights SET topic = CAST(x'ff' AS TEXT)",
        "UPDATE deliveries SET signature = CAST(x'ff' AS TEXT) WHERE number = 105",
    ],
)
def test_a_row_that_makes_no_sense_is_lost_alone(kafka: Cluster, tmp_path: Path, statement: str) -> None:
    """A page that is whole for SQLite may hold what is none of ours; that row goes, and the relay serves."""
    path, topic = tmp_path / "spool.db", f"damage.row.{len(statement)}"
    fill(path, topic)
    alter(path, statement)
    running, found = start_on(kafka, path, topic)
    assert len(running.told("spool.salvaged")) == 1
    assert len(set(found)) == len(PENDING) + 1 - ("deliveries" in statement)


def test_totals_that_cannot_be_read_are_counted_anew(kafka: Cluster, tmp_path: Path) -> None:
    """The totals are what the first write of a start touches."""
    path, topic = tmp_path / "spool.db", "damage.totals"
    fill(path, topic)
    ruin(path, [root_of(path, "totals")])
    _, found = start_on(kafka, path, topic)
    assert sorted(set(found)) == [*PENDING, "new"]
