"""One relay for all tests of accepted deliveries: several sources, rules, keys and zones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.running import KEY, PATH, Running, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.cluster import Cluster

NEW_KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER_KEY = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SOURCES = {
    "contoso": {"path": PATH, "keys": [KEY, NEW_KEY]},
    "fabrikam": {"path": "/f", "keys": [OTHER_KEY], "uri": "https://point.example/f", "time_zone": "Europe/Zagreb"},
    "content": {"path": "/c", "keys": [KEY], "signs": "content"},
}
ROUTES = [
    {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
    {"name": "small", "match": {"type": "Small"}, "topics": ["app.small"]},
    {"name": "failed", "match": {"type": "ProvisioningFailed"}, "topics": ["app.failed"], "continue": True},
    {"name": "known", "match": {"type": "Provisioning*"}, "topics": ["app.{type:kebab}"]},
]


class Ground(NamedTuple):
    """A relay that runs, the folder with its spool, and the cluster it publishes to."""

    relay: Running
    folder: Path
    kafka: Cluster


@pytest.fixture(scope="package")
def ground(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Give the relay with the rules above; `app.small` takes records of 2,000 bytes at most."""
    folder = tmp_path_factory.mktemp("app")
    kafka.create_topic("app.small", config={"max.message.bytes": "2000"})
    listen = {"host": "127.0.0.1", "port": 0, "max_in_flight": 200}
    configuration = settings(
        kafka.bootstrap_servers, folder, "", listen=listen, sources=SOURCES, routes=ROUTES, ack={"timeout": "15s"}
    )
    with Running(folder, configuration) as relay:
        yield Ground(relay, folder, kafka)
        assert relay.stop() == 0
