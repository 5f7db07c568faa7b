"""What is counted of Syskit Point's API: fetches of keys, and registrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Gauge

from relay.metrics import declared
from relay.metrics.labels import ClosedCounter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

OUTCOMES = ("succeeded", "failed")


class PointMetrics:
    """The part of `Metrics` that is about Syskit Point's API; of a source without one nothing but zeros is shown."""

    def __init__(self, registry: CollectorRegistry, sources: Iterable[str]) -> None:
        """Make every metric; the last of `sources` counts what is not among them."""
        sources = tuple(sources)
        self._fetches = ClosedCounter(declared.KEY_FETCHES, registry, sources, OUTCOMES)
        self._mended = ClosedCounter(declared.REGISTRATIONS_MENDED, registry, sources)
        fetched, registered = declared.KEY_FETCHED, declared.REGISTERED
        self._fetched = Gauge(fetched.name, fetched.help, fetched.labels, registry=registry)
        self._registered = Gauge(registered.name, registered.help, registered.labels, registry=registry)

    def key_fetched(self, source: str, *, succeeded: bool) -> None:
        """Count a fetch of a source's key by its outcome, which stays shown until the next one."""
        self._fetches.add(source, OUTCOMES[not succeeded])
        self._fetched.labels(source).set(succeeded)

    def registered(self, source: str, *, right: bool) -> None:
        """Show whether a source's endpoint is registered as configured, as far as Syskit Point could be asked."""
        self._registered.labels(source).set(right)

    def registration_mended(self, source: str) -> None:
        """Count a registration that was missing or another one, and was made right."""
        self._mended.add(source)
