"""A process of the relay without its listeners: spool, forwarder and a fake Kafka, started and stopped."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.config import Config
from relay.config.model import Ack, Admin, Dedupe, Listen, Log, Stop
from relay.config.model import Kafka as KafkaConfig
from relay.config.model import Spool as SpoolConfig
from relay.core.model import Envelope, Status
from relay.core.pipeline import Pipeline
from relay.forwarder import Forwarder
from relay.metrics import Metrics
from relay.spool import Entry, Spool
from tests.core.samples import ROUTES, SOURCE, deliver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from relay.core.model import Delivery, Processed, Route, Source
    from relay.spool import Appended
    from tests.lane.fake_kafka import FakeKafka

KEYS = 5
STARTED = "syskit.ProvisioningStarted"


def body(number: int, event_type: str = "ProvisioningStarted") -> bytes:
    """Give the body of a delivery; deliveries of five workspaces take turns."""
    content = {"type": "MicrosoftTeams", "name": f"team-{number % KEYS}", "n": number}
    meta = {"idempotencyKey": f"id-{number}", "timeStamp": "2026-01-01T00:00:00"}
    return json.dumps({"type": event_type, "meta": meta, "content": content}).encode()


def number_of(value: bytes) -> int:
    """Give the number of the delivery that a record came from."""
    return int(json.loads(value)["data"]["n"])


def published(kafka: FakeKafka, topic: str = STARTED) -> list[int]:
    """Read all partitions of a topic, one after another."""
    return [number_of(record.value) for partition in kafka.topics[topic].partitions for _, record in partition.log]


def in_order(numbers: Iterable[int]) -> bool:
    """Tell whether each workspace's deliveries are in order, each once."""
    read = list(numbers)
    by_key = ([number for number in read if number % KEYS == key] for key in range(KEYS))
    return all(mine == sorted(set(mine)) for mine in by_key)


def entry_of(delivery: Delivery, processed: Processed) -> Entry:
    """Give what ingest appends."""
    return Entry(
        delivery, processed.event.id, processed.event.type, processed.dedupe_id, processed.fingerprint, Status.PENDING
    )


@dataclass
class Process:
    """What runs."""

    pipeline: Pipeline
    spool: Spool
    forwarder: Forwarder
    metrics: Metrics

    async def accept(self, numbers: Iterable[int], event_type: str = "ProvisioningStarted") -> None:
        """Take deliveries in, as ingest does."""
        await asyncio.gather(*(self._accept(deliver(body(number, event_type))) for number in numbers))

    async def _accept(self, delivery: Delivery) -> None:
        processed = self.pipeline.process(delivery)

        def on_disk(appended: Appended) -> None:
            self.forwarder.add(appended.number, delivery, processed)

        await self.spool.append(entry_of(delivery, processed), on_disk, processed.records)

    def total(self, name: str) -> float:
        """Add up a counter over its labels."""
        page = self.metrics.render().decode().splitlines()
        return sum(float(line.split()[-1]) for line in page if line.startswith((f"{name}{{", f"{name} ")))


@asynccontextmanager
async def process(
    folder: Path,
    kafka: FakeKafka,
    *,
    routes: Sequence[Route] = ROUTES,
    sources: Sequence[Source] = (SOURCE,),
    ack: float = 2.0,
) -> AsyncIterator[Process]:
    """Start a process on the spool in `folder`; on leaving, stop it at once."""
    config = Config(
        Listen(), Admin(), tuple(sources), KafkaConfig(("fake:1",), idle_timeout=0.1), Envelope(), tuple(routes),
        Ack(timeout=ack), Stop(), Log(), Dedupe(), SpoolConfig(),
    )  # fmt: skip
    metrics = Metrics(sources=["contoso"], types=(), dropping=("noise",), topics=(STARTED,), version="0")
    pipeline = Pipeline({source.name: source for source in sources}, routes, Envelope())
    spool = Spool(folder / "spool.db", max_size=256 << 20, retention=1e6, remembered=1000, metrics=metrics)
    forwarder = Forwarder(config, pipeline, spool, kafka, metrics)
    async with spool, asyncio.TaskGroup() as tasks:
        await forwarder.start(tasks)
        try:
            yield Process(pipeline, spool, forwarder, metrics)
        finally:
            await forwarder.stop()
