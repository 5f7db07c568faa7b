"""Whereabouts, where no broker of the tests can be asked: one from before topics had ids."""

from __future__ import annotations

from types import SimpleNamespace

from aiokafka.protocol.api import Request  # noqa: TC002 - the fake's signature
from aiokafka.protocol.metadata import MetadataRequest

from relay.kafka.whereabouts import whereabouts


class OldBroker:
    """A client of a broker that knows metadata up to version 8 (Kafka 2.3)."""

    def get_random_node(self) -> int:
        """Give the one there is."""
        return 1

    async def send(self, _node: int, request: Request) -> object:
        """Answer what can be asked by such a version."""
        request.prepare({MetadataRequest.API_KEY: (0, 8)})
        return SimpleNamespace(cluster_id="c")


async def test_a_broker_without_topic_ids_is_known_by_its_cluster() -> None:
    """Numbers are the cluster's then, as they always were; the relay works with it."""
    assert await whereabouts(OldBroker(), "t") == "c"
