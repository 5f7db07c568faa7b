"""Metadata: asked for without leave to create what is asked for."""

from __future__ import annotations

from aiokafka import client
from aiokafka.protocol import metadata


class MetadataRequest(metadata.MetadataRequest):  # type: ignore[misc]  # aiokafka has no types
    """Asks brokers for topics; one that does not exist stays missing, also under `auto.create.topics.enable`.

    aiokafka leaves that to the broker, and its producers ask every few seconds: a topic that was deleted would be
    made anew by the broker's defaults, whatever `kafka.topics` says.
    """

    def __init__(self, topics: list[str] | None = None) -> None:
        """Ask for these; for all that there are when that is None."""
        super().__init__(topics, allow_auto_topic_creation=False)


# Each client makes its requests by this name: there is no other way in.
client.MetadataRequest = MetadataRequest
