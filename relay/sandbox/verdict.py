"""Verdict: what was sent and what was acknowledged against what stands in Kafka."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.cloudevents import see
from relay.core.model import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.kafka import Written
    from relay.sandbox.volley import Due, Volley
    from relay.spool import Row


@dataclass
class Verdict:
    """Goes through the records in the order of each partition, and finds what is not as it should be.

    *Forged* is a record that nobody signed like this: of an unknown or an altered delivery, or with
    another key or value than the delivery gives. *Doubled* counts copies beyond the first, *reordered*
    records behind a later one of their key and workspace.
    """

    volley: Volley
    forged: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    _waiting: set[str] = field(default_factory=set)
    _copies: Counter[tuple[str, str]] = field(default_factory=Counter)
    _last: dict[tuple[str, int, bytes, str], int] = field(default_factory=dict)

    def wait_for(self, page: Sequence[Row]) -> None:
        """Take in deliveries that stand in the spool: what is pending there is not lost."""
        self._waiting.update(row.event_id for row in page if row.status is Status.PENDING)

    def read(self, record: Written) -> None:
        """Take in a record."""
        seen = see(record.value, record.headers)
        sent = self.volley.sent.get(seen.id) if seen else None
        if seen is None or sent is None or not _is_due(record, sent.due):
            self.forged.append(f"{seen.id if seen else '?'} in {record.topic} at {record.partition}/{record.offset}")
            return
        self._copies[record.topic, seen.id] += 1
        line = record.topic, record.partition, record.key, sent.workspace
        if self._copies[record.topic, seen.id] == 1:
            if self._last.get(line, -1) > sent.place:
                self.reordered.append(f"{seen.id} in {record.topic} at {record.partition}/{record.offset}")
            self._last[line] = max(sent.place, self._last.get(line, -1))

    @property
    def lost(self) -> list[str]:
        """Give what was acknowledged, and is neither there nor on its way."""
        return [
            f"{id_} in {due.topic}"
            for id_, sent in self.volley.sent.items()
            if sent.acknowledged and id_ not in self._waiting
            for due in sent.due
            if not self._copies[due.topic, id_]
        ]

    @property
    def doubled(self) -> list[str]:
        """Give what is there more than once."""
        return [f"{id_} in {topic}, {copies} times" for (topic, id_), copies in self._copies.items() if copies > 1]

    def figures(self) -> Mapping[str, int]:
        """Count the four, and the records that were read."""
        return {
            "lost": len(self.lost),
            "forged": len(self.forged) + self.volley.forgeries_accepted,
            "doubled": sum(copies - 1 for copies in self._copies.values() if copies > 1),
            "reordered": len(self.reordered),
        }

    def complaints(self) -> Mapping[str, list[str]]:
        """Give what was found, by the word for it."""
        return {"lost": self.lost, "forged": self.forged, "doubled": self.doubled, "reordered": self.reordered}


def _is_due(record: Written, due: tuple[Due, ...]) -> bool:
    digest = hashlib.sha256(record.value).digest()
    return any((one.topic, one.key, one.digest) == (record.topic, record.key, digest) for one in due)
