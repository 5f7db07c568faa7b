"""Labels whose values are bounded, so that no sender can make the metrics grow.

A label is *closed* when its values are known at start: what is not known counts under the last of them.
Topics are *open*, as templates make them: the first `MAX_TOPICS` keep their names, the rest share `other`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prometheus_client import Counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry

    from relay.metrics.declared import Declared

MAX_TOPICS = 200
OTHER = "other"
NONE = "none"


class ClosedCounter:
    """A counter with a child for every combination of label values, made at start and looked up in a dict."""

    def __init__(self, declared: Declared, registry: CollectorRegistry, *values: Iterable[str]) -> None:
        """Make all children; `values` has, for each label in order, its values, the last for what is not among them."""
        self._values = tuple(tuple(map(str, known)) for known in values)
        counter = Counter(declared.name, declared.help, declared.labels, registry=registry)
        self._children = {labels: counter.labels(*labels) for labels in itertools.product(*self._values)}

    def add(self, *labels: str) -> None:
        """Count one; a value that is not known counts under the last of its label."""
        child = self._children.get(labels)
        if child is None:
            known = (v if v in all_ else all_[-1] for v, all_ in zip(labels, self._values, strict=True))
            child = self._children[tuple(known)]
        child.inc()


class Topics:
    """The names under which topics appear as labels, the same in every metric."""

    def __init__(self, known: Sequence[str]) -> None:
        """Begin with the topics known at start; they count among the `MAX_TOPICS`."""
        self._named = set(known[:MAX_TOPICS])

    def label(self, topic: str) -> str:
        """Give the topic its own name while there is room, else `other`."""
        if topic not in self._named:
            if len(self._named) >= MAX_TOPICS:
                return OTHER
            self._named.add(topic)
        return topic

    def names(self) -> tuple[str, ...]:
        """Every label there is now, `other` included."""
        return (*sorted(self._named), OTHER)


class TopicCounter:
    """A counter by topic; `total` is that of all."""

    def __init__(self, declared: Declared, registry: CollectorRegistry, topics: Topics) -> None:
        """Make the children of all topics known so far."""
        self._topics = topics
        self.total = 0
        self._counter = Counter(declared.name, declared.help, declared.labels, registry=registry)
        self._children = {topic: self._counter.labels(topic) for topic in topics.names()}

    def add(self, topic: str, count: int) -> None:
        """Count so many for the topic."""
        child = self._children.get(topic)
        if child is None:
            label = self._topics.label(topic)
            child = self._children.setdefault(label, self._counter.labels(label))
        child.inc(count)
        self.total += count
