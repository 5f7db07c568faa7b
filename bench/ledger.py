"""Ledger: the relay's own count of its deliveries, and whether it adds up."""

from __future__ import annotations

import http.client
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = 200


@dataclass(frozen=True, slots=True)
class Ledger:
    """What `/metrics` said at one moment. `answers` counts the answers by what they said."""

    accepted: int
    published: int
    pending: int
    other: int
    answers: Mapping[str, int]

    def differs_from(self, before: Ledger, refused: range = range(1)) -> str | None:
        """Say what is wrong with what came since `before`; None when all that was accepted was published, once.

        `refused` says how many may have had another outcome: none, unless more was sent than it can bear.
        """
        accepted, published = self.accepted - before.accepted, self.published - before.published
        other = self.other - before.other
        if accepted == published and other in refused and not self.pending and not before.pending:
            return None
        return f"accepted {accepted}, published {published}, pending {self.pending}, any other outcome {other}"


def read(port: int) -> Ledger:
    """Read the metrics from the admin listener on a port. Raises `RuntimeError` or OSError when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != OK:
        raise RuntimeError(f"/metrics answered {answer.status}")
    return parse(text)


def parse(text: str) -> Ledger:
    """Add up the samples of a scrape over all their labels."""
    counts: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            counts[sample.name] += int(sample.value)
            if sample.name == "relay_answer_seconds_count":
                answers[sample.labels["status"]] += int(sample.value)
    outcomes = ("duplicate", "rejected", "dead", "dropped", "unavailable")
    return Ledger(
        accepted=counts["relay_deliveries_accepted_total"],
        published=counts["relay_deliveries_published_total"],
        pending=counts["relay_deliveries_pending"],
        other=sum(counts[f"relay_deliveries_{outcome}_total"] for outcome in outcomes),
        answers=answers,
    )
