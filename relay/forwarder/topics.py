"""Topics: whether the topics that rules name outright are there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from relay.kafka import KafkaUnavailable, TopicMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relay.lane import Kafka

log = structlog.get_logger()

ASK_AGAIN = 5.0  # seconds


class Topics:
    """Looks at each literal topic at start, which creates it when so configured, until all are found.

    A missing topic is an error in the log and a row of health, never an exit: it may come later, and
    deliveries for it wait on disk. Topics of templates are looked at when they are first used.
    """

    def __init__(self, names: Iterable[str], kafka: Kafka) -> None:
        """Prepare to ask `kafka` for `names`."""
        self._kafka = kafka
        self._missing: dict[str, str | None] = dict.fromkeys(names)

    @property
    def missing(self) -> Mapping[str, str | None]:
        """The topics that were not found so far, each with the reason, or None when not asked for yet."""
        return self._missing

    async def run(self) -> None:
        """Ask until every topic was found."""
        while True:
            for name in tuple(self._missing):
                await self._ask(name)
            if not self._missing:
                return
            await asyncio.sleep(ASK_AGAIN)

    async def _ask(self, name: str) -> None:
        try:
            await self._kafka.topic(name)
        except KafkaUnavailable as error:
            self._tell(name, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours is told, and ends no relay that stores
            self._tell(name, KafkaUnavailable(f"unexpected: {error!r}"))
        else:
            del self._missing[name]

    def _tell(self, name: str, error: KafkaUnavailable) -> None:
        if isinstance(error, TopicMissing) and self._missing[name] != str(error):
            log.error("topic.missing", topic=name, error=str(error))
        elif self._missing[name] != str(error):
            log.error("topic.unknown", topic=name, error=str(error))
        self._missing[name] = str(error)
