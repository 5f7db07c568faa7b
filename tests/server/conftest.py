"""One relay for all tests of the HTTP contract: its limits are small, so that they are met soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import KEY, PATH, Running, event, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster

LISTEN = {
    "host": "127.0.0.1",
    "port": 0,
    "max_body": "4KiB",
    "body_timeout": "600ms",
    "header_timeout": "500ms",
    "idle_timeout": "1200ms",
    "max_in_flight": 4,
}
ROUTES = [
    {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
    {"name": "known", "match": {"type": "Provisioning*"}, "topics": ["contract"]},
]


@pytest.fixture(scope="package")
def relay(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay that answers `published`: its lane is open already."""
    folder = tmp_path_factory.mktemp("contract")
    sources = {"contoso": {"path": PATH, "keys": [KEY]}, "content": {"path": "/c", "keys": [KEY], "signs": "content"}}
    configuration = settings(
        kafka.bootstrap_servers,
        folder,
        "contract",
        listen=LISTEN,
        routes=ROUTES,
        sources=sources,
        ack={"timeout": "10s"},
    )
    with Running(folder, configuration) as running:
        assert running.post(event()).status == 202
        yield running


@pytest.fixture(autouse=True)
def _good_traffic_goes_on(relay: Running) -> Iterator[None]:
    """After whatever a test has sent, a good delivery is published, and no answer was a 5xx but 503."""
    yield
    assert relay.post(event()).fields["status"] == "published"
