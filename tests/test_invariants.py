"""The design's invariants, each with the tests that prove it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent

INVARIANTS = {
    "accepted = published + pending + dead + dropped; every accepted delivery has exactly one outcome": [
        "app/test_acceptance.py::test_the_metrics_add_up",
        "app/test_acceptance.py::test_an_outcome_is_one_line",
    ],
    "every id answered 2xx is in Kafka or in the spool, after any crash, kill -9, full disk or broker failure": [
        "app/test_kill.py::test_nothing_is_lost_doubled_or_reordered_by_twenty_kills",
        "app/test_stop.py::test_a_stop_under_load_loses_nothing",
        "app/test_stop.py::test_a_stop_is_bounded_and_the_next_start_goes_on",
        "app/test_trouble.py::test_kafka_away_costs_nobody_a_delivery",
        "app/test_trouble.py::test_a_full_spool_refuses_and_drains",
        "app/test_acceptance.py::test_what_cannot_be_published_is_kept",
    ],
    "nothing unsigned ever is in Kafka or in the spool": [
        "app/test_acceptance.py::test_a_forgery_leaves_nothing_behind",
        "server/test_contract.py::test_every_wrong_signature_is_answered_alike",
        "test_architecture.py::test_the_program_keeps_the_rule",
    ],
    "the data published is byte for byte what was signed": [
        "envelope/test_sdk.py::test_what_kafka_holds_is_what_was_signed",
        "server/test_limits.py::test_a_body_is_never_unpacked",
    ],
    "each record is in Kafka once, for every consumer, after any crash": [
        "app/test_kill.py::test_nothing_is_lost_doubled_or_reordered_by_twenty_kills",
        "app/test_acceptance.py::test_a_hundred_at_once_are_one_record",
        "app/test_acceptance.py::test_a_repeat_waits_for_the_first",
        "app/test_stop.py::test_a_repeat_is_recognised_after_a_restart",
    ],
    "records of one key are published in the order of acceptance, also while a backlog drains": [
        "app/test_kill.py::test_nothing_is_lost_doubled_or_reordered_by_twenty_kills",
        "app/test_trouble.py::test_kafka_away_costs_nobody_a_delivery",
    ],
    "a topic in trouble delays only itself; what can never be published does not block those behind it": [
        "app/test_trouble.py::test_a_missing_topic_holds_back_only_itself",
        "app/test_acceptance.py::test_what_cannot_be_published_does_not_block_those_behind",
    ],
    "the relay never needs a person to recover once the cause is gone": [
        "app/test_trouble.py::test_kafka_away_costs_nobody_a_delivery",
        "app/test_trouble.py::test_a_missing_topic_holds_back_only_itself",
        "app/test_trouble.py::test_a_full_spool_refuses_and_drains",
    ],
}


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_has_its_tests(invariant: str) -> None:
    """Every test named for an invariant exists, and is one that pytest collects."""
    for place in INVARIANTS[invariant]:
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place
        assert name.startswith("test_")
