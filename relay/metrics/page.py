"""The page of metrics, read back as a scraper reads it."""

from __future__ import annotations

from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families


def read_page(text: str) -> dict[str, float]:
    """Give each metric by name: the sum over its labels. Raises ValueError for what is no such page."""
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return dict(sums)
