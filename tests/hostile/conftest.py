"""One relay for all attacks, with limits as an operator has them, but short times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.good_traffic import GoodTraffic
from tests.records import ids
from tests.running import KEY, PATH, Running, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster

LISTEN = {
    "host": "127.0.0.1", "port": 0, "body_timeout": "1s", "header_timeout": "1s", "idle_timeout": "30s",
    "trusted_proxies": ["127.0.0.1"],
}  # fmt: skip
SOURCES = {
    "contoso": {"path": PATH, "keys": [KEY]},
    "content": {"path": "/content", "keys": [KEY], "signs": "content"},
}
ROUTES = [
    {"name": "good", "match": {"type": "ProvisioningStarted"}, "topics": ["hostile.good"]},
    {"name": "strange", "match": {"type": "ProvisioningFailed"}, "topics": ["hostile.strange"]},
]
WARM = 1000  # deliveries after which the relay has allocated what it keeps


@pytest.fixture(scope="package")
def relay(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay that has been at work for a while; at the end, no record of it stands in Kafka twice."""
    folder = tmp_path_factory.mktemp("hostile")
    configuration = settings(
        kafka.bootstrap_servers,
        folder,
        "",
        listen=LISTEN,
        sources=SOURCES,
        routes=ROUTES,
        dedupe={"ids": 20_000},
        ack={"timeout": "10s"},
    )
    with Running(folder, configuration) as running:
        with GoodTraffic(running.port, connections=4) as good:
            good.goes_on(WARM)
        yield running
        published = ids(kafka, "hostile.good")
        assert set(good.ids) <= set(published)
        assert len(published) == len(set(published))
        assert running.stop() == 0
