"""The drill: a relay on the user's own cluster, broken in every way there is, and then held against Kafka.

drilled, patient    the relay as a process, and how it looks from outside
volley              what is sent            ordeal, proxy   what is done to it
verdict             what stands in Kafka
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec.structs import replace

from relay.audit import Readback, add_up
from relay.core.errors import Unavailable
from relay.kafka import History
from relay.sandbox.drilled import Orders, load
from relay.sandbox.failure import Failure
from relay.sandbox.ordeal import Ordeal
from relay.sandbox.patient import Patient
from relay.sandbox.ports import free_ports
from relay.sandbox.proxy import Proxy
from relay.sandbox.verdict import Verdict
from relay.sandbox.volley import Volley
from relay.spool import Census

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relay.sandbox.embedded import EmbeddedKafka
    from relay.sandbox.ordeal import Blow
    from relay.spool import Row

SPOOL_BYTES = 4 << 20
DRAIN = 300.0  # seconds until what is pending after the last fault has to be in Kafka
DEMO = Path(__file__).with_name("demo.yaml")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drilled: a configuration, None for the demo's; how many deliveries a second at most, and for how long."""

    config: Path | None
    rate: float
    seconds: float
    seed: int
    prefix: str
    keep: bool
    embedded: EmbeddedKafka | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was done and what came of it, in `seconds`. `audit` are the faults that the audit found, as sentences.

    Doubles are no fault where nothing else is promised (`judges_doubles` False): without `kafka.idempotence`,
    and on the embedded Kafka, which does not recognise a batch that comes again as Kafka does.
    """

    brokers: Sequence[str]
    blows: Sequence[Blow]
    sent: Mapping[str, int]
    seconds: float
    figures: Mapping[str, int]
    complaints: Mapping[str, Sequence[str]]
    audit: Sequence[str]
    drained: bool
    judges_doubles: bool

    @property
    def longest_recovery(self) -> float | None:
        """Give the longest time to recovery, None when the relay did not recover once."""
        times = [blow.recovery for blow in self.blows]
        return None if None in times else max((seconds for seconds in times if seconds is not None), default=0.0)

    @property
    def clean(self) -> bool:
        """Tell whether nothing is lost, forged, doubled or reordered, all adds up, and the relay recovered."""
        wrong = sum(count for word, count in self.figures.items() if word != "doubled" or self.judges_doubles)
        return not wrong and not self.audit and self.drained and self.longest_recovery is not None


def run(plan: Plan, announce: Callable[[Sequence[str]], None], tell: Callable[[Blow], None]) -> Report:
    """Drill by the plan; say to whom it is done and `tell` each fault. Raises `Failure` when it cannot go on."""
    with tempfile.TemporaryDirectory(prefix="relay-drill-") as folder:
        drill = Drill(plan, Path(folder))
        try:
            return asyncio.run(drill.run(announce, tell))
        except ExceptionGroup as group:
            raise Failure("; ".join(dict.fromkeys(str(error) for error in group.exceptions))) from group
        except Unavailable as error:
            raise Failure(str(error)) from error


class Drill:
    """One drill; `folder` is for the spool and the log while it lasts."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Write the orders for the relay. Raises `config.Faulty`."""
        self._plan = plan
        self._folder = folder
        port, admin_port = free_ports(2)
        embedded = plan.embedded.addresses if plan.embedded else ()
        variables = {
            "DEMO_KAFKA": ",".join(embedded),
            "DEMO_POINT": "http://127.0.0.1:1",
            "DEMO_SECRET": str(uuid4()),
            "DEMO_ENDPOINT": "http://127.0.0.1:1/webhooks/contoso",
            "DEMO_PORT": "0",
            "DEMO_SPOOL": str(folder / "unused.db"),
        }
        self._orders = Orders(
            config=str(plan.config or DEMO),
            variables={} if plan.config else variables,
            prefix=plan.prefix,
            spool=str(folder / "spool.db"),
            max_size=SPOOL_BYTES,
            port=port,
            admin_port=admin_port,
            key=str(uuid4()),
            embedded=embedded,
        )
        self._config = load(self._orders)

    async def run(self, announce: Callable[[Sequence[str]], None], tell: Callable[[Blow], None]) -> Report:
        """Do what `run` says."""
        brokers = await self._brokers()
        url = f"http://127.0.0.1:{self._orders.port}{self._config.sources[0].path}"
        volley = Volley(self._config, url, self._plan.rate)
        announce(brokers)
        try:
            with _proxies([*brokers, *self._config.kafka.bootstrap_servers]) as proxies:
                blows, drained = await self._drill(volley, proxies, brokers, tell)
            verdict, audit = await self._reconcile(volley)
        finally:
            if not self._plan.keep:
                await self._clean_up(volley)
        sent = {
            "sent": len(volley.sent),
            "acknowledged": sum(one.acknowledged for one in volley.sent.values()),
            "forgeries": len(volley.forged),
            "refused": volley.refused,
            "unanswered": volley.unanswered,
        }
        judges_doubles = self._config.kafka.idempotence and not self._plan.embedded
        figures, complaints = verdict.figures(), verdict.complaints()
        return Report(brokers, blows, sent, volley.seconds, figures, complaints, audit, drained, judges_doubles)

    async def _drill(
        self, volley: Volley, proxies: Mapping[str, Proxy], brokers: Sequence[str], tell: Callable[[Blow], None]
    ) -> tuple[Sequence[Blow], bool]:
        """Send while faults are dealt, and until the relay has published all of it."""
        ways = {address: proxy.port for address, proxy in proxies.items()}
        patient = Patient(replace(self._orders, ways=ways), self._folder / "log")
        patient.start()
        try:
            await patient.ready()
            sending = asyncio.create_task(volley.run())
            ordeal = Ordeal(
                patient,
                volley,
                proxies,
                brokers,
                self._plan.embedded,
                random.Random(self._plan.seed),  # noqa: S311 - no secret
            )
            dealing = asyncio.create_task(ordeal.run(self._plan.seconds, tell))
            await asyncio.wait({sending, dealing}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                dealing.cancel()
                await sending
            blows = await dealing
            volley.stop()
            await sending
            drained = await patient.drained(DRAIN)
            await patient.stop()
        finally:
            patient.kill()
        return blows, drained

    async def _reconcile(self, volley: Volley) -> tuple[Verdict, Sequence[str]]:
        """Read the topics back, and let the audit look at the spool that the drill leaves."""
        verdict = Verdict(volley)
        with (
            Census(Path(self._orders.spool)) as census,
            closing(Readback(self._folder / "audit.db", self._config)) as readback,
        ):

            def on_page(page: Sequence[Row]) -> None:
                readback.expect(page)
                verdict.wait_for(page)

            faults = list(add_up(census, on_page).faults())
            await readback.read(lambda _: None, lambda _: None)
            readback.remember(census)
            # Copies are the verdict's to count.
            faults += [
                f"{name}: {one.id} in {one.topic} at {one.places}"
                for name, one in readback.differences()
                if name != "doubled"
            ]
        async with History(self._config.kafka) as history:
            partitions = await history.partitions()
            topics = sorted(self._named(volley) & set(partitions))
            places = [(topic, number) for topic in topics for number in partitions[topic]]
            firsts, ends = await history.bounds(places)
            async for batch, _ in history.records(firsts, ends):
                for record in batch:
                    verdict.read(record)
        return verdict, faults

    async def _clean_up(self, volley: Volley) -> None:
        async with History(self._config.kafka) as history:
            mirror = self._config.dead_letters.topic
            made = {*self._named(volley), *([mirror] if mirror else [])} & set(await history.partitions())
            if made:
                await history.delete(sorted(made))

    def _named(self, volley: Volley) -> set[str]:
        """Give the topics into which the relay publishes for this drill; before it none had their beginning."""
        literal = (template.literal for route in self._config.routes for template in route.topics)
        return {*volley.topics, *(topic for topic in literal if topic)}

    async def _brokers(self) -> list[str]:
        """Give the addresses of a cluster in which no topic is named as the drill's will be. Raises `Failure`."""
        prefix = self._plan.prefix
        async with History(self._config.kafka) as history:
            if taken := sorted(topic for topic in await history.partitions() if topic.startswith(prefix)):
                raise Failure(f"the topic {taken[0]} begins with {prefix} already: give the drill another --prefix")
            return sorted(f"{host}:{port}" for host, port in await history.brokers())


@contextmanager
def _proxies(addresses: Sequence[str]) -> Iterator[Mapping[str, Proxy]]:
    """Give a running proxy before each address."""
    with ExitStack() as stack:
        proxies = {}
        for address in dict.fromkeys(addresses):
            host, _, port = address.rpartition(":")
            proxies[address] = stack.enter_context(Proxy(host.strip("[]"), int(port)))
        yield proxies
