"""Metrics: declared once, documented, bounded, and adding up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from relay.core.errors import Cause, Reason, Refusal
from relay.core.model import Withdrawal
from relay.metrics import TABLE, Gauges, KeyGauges, LaneGauges, LaneState, Metrics
from relay.metrics.labels import MAX_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
SOURCES = ("contoso", "none-such", "none")
TYPES = ("ProvisioningStarted", "ProvisioningFailed")


def built() -> Metrics:
    """Build the metrics of a small relay."""
    return Metrics(sources=SOURCES[:2], types=TYPES, dropping=("noise",), topics=("ops",), version="1.2.3")


def samples(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the page as a scraper does: name to labels to value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse_text(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Read one sample."""
    return samples(metrics)[name][tuple(sorted(labels.items()))]


def total(metrics: Metrics, name: str) -> float:
    """Add up a metric over all labels."""
    return sum(samples(metrics)[name].values())


def test_the_document_holds_the_table() -> None:
    """docs/metrics.md and the code name the same metrics, with type, labels and meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == [(d.name, d.kind, ", ".join(d.labels), d.help) for d in TABLE]


def test_a_scrape_shows_the_table() -> None:
    """What is exposed is what is declared: names, types and meanings, each once."""
    page = built().render().decode()
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE)
    helps = re.findall(r"^# HELP (\S+) (.*)$", page, re.MULTILINE)
    assert sorted(kinds) == sorted((d.name, d.kind) for d in TABLE)
    assert sorted(helps) == sorted((d.name, d.help) for d in TABLE)


def test_labels_are_as_declared() -> None:
    """Every sample has the labels that the table says."""
    metrics = built()
    key = KeyGauges("contoso", "0123abcd", 1.0, 2.0, 3.0)
    metrics.observe_gauges(lambda: Gauges(lanes=(LaneGauges("ops", LaneState.READY, 1, 2, 3.0),), keys=(key,)))
    metrics.point.key_fetched("contoso", succeeded=True)
    metrics.point.registered("contoso", right=True)
    shown = samples(metrics)
    for metric in TABLE:
        extra = ("le",) if metric.kind == "histogram" else ()
        name = metric.name + ("_bucket" if extra else "")
        assert {tuple(k for k, _ in labels) for labels in shown[name]} == {tuple(sorted((*metric.labels, *extra)))}


def test_what_is_known_at_start_is_shown_at_zero() -> None:
    """The first scrape has every source, reason, cause, type, dropping rule and topic at 0."""
    shown = samples(built())
    counters = [d.name for d in TABLE if d.kind == "counter"]
    assert all(shown[name] for name in counters)
    assert {v for name in counters for v in shown[name].values()} == {0.0}
    reasons = {dict(labels)["reason"] for labels in shown["relay_deliveries_rejected_total"]}
    assert reasons == {*Refusal}
    assert {dict(labels)["reason"] for labels in shown["relay_deliveries_dead_total"]} == {*Reason}
    assert {dict(labels)["cause"] for labels in shown["relay_deliveries_unavailable_total"]} == {*Cause}


COUNTS: Mapping[str, Callable[[Metrics, str], None]] = {
    "relay_deliveries_accepted_total": lambda m, s: m.accepted(s),
    "relay_deliveries_duplicate_total": lambda m, s: m.duplicate(s),
    "relay_deliveries_rejected_total": lambda m, s: m.rejected(s, Refusal.BAD_SIGNATURE),
    "relay_deliveries_published_total": lambda m, s: m.published(s, s),
    "relay_deliveries_dead_total": lambda m, s: m.dead(s, Reason.UNROUTABLE),
    "relay_deliveries_dropped_total": lambda m, s: m.dropped(s, s),
    "relay_deliveries_mirrored_total": lambda m, s: m.mirrored(s),
    "relay_deliveries_replayed_total": lambda m, s: m.replayed(s),
    "relay_deliveries_withdrawn_total": lambda m, s: m.withdrawn(s, Withdrawal.REPLAYED),
    "relay_deliveries_unavailable_total": lambda m, _: m.unavailable(Cause.SPOOL_FULL),
    "relay_records_published_total": lambda m, s: m.records_published(s, 1),
    "relay_algorithm_mismatch_total": lambda m, s: m.algorithm_mismatch(s),
    "relay_time_unreadable_total": lambda m, s: m.time_unreadable(s),
    "relay_other_reading_total": lambda m, s: m.other_reading(s),
    "relay_rejected_explained_total": lambda m, s: m.rejection_explained(s),
    "relay_key_fetches_total": lambda m, s: m.point.key_fetched(s, succeeded=False),
    "relay_registrations_mended_total": lambda m, s: m.point.registration_mended(s),
    "relay_possible_duplicates_total": lambda m, s: m.possible_duplicates(s, 1),
    "relay_lane_recoveries_total": lambda m, s: m.lane_recovered(s),
}


def test_every_counter_can_be_counted() -> None:
    """No counter of the table is without its rule here."""
    assert set(COUNTS) == {d.name for d in TABLE if d.kind == "counter"}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(COUNTS)), st.sampled_from(SOURCES) | st.text(max_size=5)), max_size=30)
)
def test_each_thing_is_counted_once_whatever_its_labels(things: list[tuple[str, str]]) -> None:
    """Conservation: bounding the labels loses nothing, and nothing is counted in two metrics."""
    metrics = built()
    for name, label in things:
        COUNTS[name](metrics, label)
    shown = samples(metrics)
    for name in COUNTS:
        assert sum(shown[name].values()) == sum(1 for counted, _ in things if counted == name)


def test_unknown_values_share_one_label() -> None:
    """A source nobody configured counts under none, a type or rule nobody knows under other."""
    metrics = built()
    metrics.rejected(None, Refusal.UNKNOWN_PATH)
    metrics.published("removed-source", "SomethingNew")
    metrics.dropped("contoso", "removed-rule")
    assert value(metrics, "relay_deliveries_rejected_total", source="none", reason="unknown_path") == 1
    assert value(metrics, "relay_deliveries_published_total", source="none", type="other") == 1
    assert value(metrics, "relay_deliveries_dropped_total", source="contoso", route="other") == 1


def test_a_source_may_be_called_none() -> None:
    """A source with the name of the label for no source changes nothing for the others."""
    metrics = Metrics(sources=("none", "contoso"), types=(), dropping=(), topics=(), version="1")
    metrics.accepted("unknown")
    assert value(metrics, "relay_deliveries_accepted_total", source="none") == 1
    assert value(metrics, "relay_deliveries_accepted_total", source="contoso") == 0


def test_topics_are_bounded() -> None:
    """The first topics keep their names, the rest count under other, in all metrics alike."""
    metrics = built()
    for number in range(MAX_TOPICS + 50):
        metrics.records_published(f"topic-{number}", 2)
    last = f"topic-{MAX_TOPICS + 10}"
    metrics.lane_recovered(last)
    metrics.observe_gauges(lambda: Gauges(lanes=(LaneGauges(last, LaneState.WAITING, 7, 70, 9.0),)))
    shown = samples(metrics)
    assert len(shown["relay_records_published_total"]) == MAX_TOPICS + 1
    assert total(metrics, "relay_records_published_total") == 2 * (MAX_TOPICS + 50)
    assert value(metrics, "relay_lane_recoveries_total", topic="other") == 1
    assert shown["relay_lane_pending_records"] == {(("topic", "other"),): 7}


def test_lanes_are_shown_by_state_and_topic() -> None:
    """Every state is shown, also at 0; each lane with what it owes, and the age of it."""
    metrics = built()
    lanes = (LaneGauges("a", LaneState.BEHIND, 90_000, 1 << 30, 61.5), LaneGauges("b", LaneState.READY, 3, 1200, 0.5))
    metrics.observe_gauges(lambda: Gauges(lanes=lanes))
    shown = samples(metrics)
    states = {dict(labels)["state"]: count for labels, count in shown["relay_lanes"].items()}
    assert states == {"ready": 1, "behind": 1, "recovering": 0, "waiting": 0}
    assert shown["relay_lane_pending_records"] == {(("topic", "a"),): 90_000, (("topic", "b"),): 3}
    assert shown["relay_lane_pending_bytes"] == {(("topic", "a"),): 1 << 30, (("topic", "b"),): 1200}
    assert shown["relay_lane_oldest_seconds"] == {(("topic", "a"),): 61.5, (("topic", "b"),): 0.5}


def test_gauges_are_read_once_a_scrape() -> None:
    """All gauges of a page are one reading, taken at the scrape and at no other time."""
    readings = iter((Gauges(pending=5, ready=True), Gauges(pending=6)))
    metrics = built()
    metrics.observe_gauges(lambda: next(readings))
    first, second = samples(metrics), samples(metrics)
    assert (first["relay_deliveries_pending"][()], first["relay_ready"][()]) == (5, 1)
    assert (second["relay_deliveries_pending"][()], second["relay_ready"][()]) == (6, 0)


def test_gauges_that_cannot_be_read_hide_no_counter() -> None:
    """A fault in reading the gauges leaves them out; everything else is shown."""

    def broken() -> Gauges:
        raise OSError("disk")

    metrics = built()
    metrics.accepted("contoso")
    metrics.observe_gauges(broken)
    shown = samples(metrics)
    assert shown["relay_deliveries_accepted_total"][(("source", "contoso"),)] == 1
    assert "relay_deliveries_pending" not in shown


def test_answers_and_commits_are_timed() -> None:
    """Each answer counts under what it said; a status nobody declared is a mistake, not a new label."""
    metrics = built()
    metrics.answered("stored", 0.02)
    metrics.committed(12, 0.003)
    assert value(metrics, "relay_answer_seconds_count", status="stored") == 1
    assert value(metrics, "relay_answer_seconds_bucket", status="stored", le="0.025") == 1
    assert value(metrics, "relay_answer_seconds_bucket", status="stored", le="0.01") == 0
    assert value(metrics, "relay_commit_operations_sum") == 12
    assert value(metrics, "relay_commit_seconds_sum") == 0.003
    with pytest.raises(KeyError):
        metrics.answered("lost", 1.0)


def test_open_metrics_is_well_formed() -> None:
    """The OpenMetrics page is accepted by the strict parser, says the version, and has no created series."""
    page = built().render(open_metrics=True).decode()
    families = {family.name: family for family in parse_open_metrics(page)}  # type: ignore[no-untyped-call] # the library left it untyped
    assert families["relay_build_info"].samples[0].labels == {"version": "1.2.3"}
    assert "_created" not in page
