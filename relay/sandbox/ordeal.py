"""Ordeal: what is done to the relay and to its way to Kafka, one fault after the other."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from relay.sandbox.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from random import Random

    from relay.sandbox.embedded import EmbeddedKafka
    from relay.sandbox.patient import Patient
    from relay.sandbox.proxy import Proxy
    from relay.sandbox.volley import Volley

    Fault = tuple[str, Callable[[], Coroutine[None, None, None]]]

FAULT = 3.0  # seconds that a fault of the network lasts
CALM = 1.0  # seconds between two faults
DELAY = 0.2
RECOVERY = 300.0  # seconds after which a relay that has not recovered never will


class Blow(NamedTuple):
    """A fault that was: what, when after the start, how long it lasted, and how long the relay took to recover.

    All in seconds; `recovery` is None when it did not recover.
    """

    fault: str
    at: float
    lasted: float
    recovery: float | None


class Ordeal:
    """Deals faults, each until it is over, and waits until the relay has recovered before the next.

    `proxies` stand before all addresses of the cluster, by name. A seed decides the order.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that faults are dealt to
        self,
        patient: Patient,
        volley: Volley,
        proxies: Mapping[str, Proxy],
        brokers: Sequence[str],
        embedded: EmbeddedKafka | None,
        random: Random,
    ) -> None:
        """Prepare; `brokers` are those of the proxies' names that are brokers' own. Only embedded ones are killed."""
        self._embedded = embedded
        self._brokers = brokers
        self._patient = patient
        self._volley = volley
        self._proxies = proxies
        self._random = random

    async def run(self, seconds: float, tell: Callable[[Blow], None]) -> Sequence[Blow]:
        """Deal faults for so long, and each at least once; `tell` each when it is over."""
        began, blows = time.monotonic(), list[Blow]()
        due: list[Fault] = []
        while due or not blows or time.monotonic() - began < seconds:
            if not due:
                due = self._faults()
                self._random.shuffle(due)
            await asyncio.sleep(CALM)
            name, fault = due.pop()
            dealt = time.monotonic()
            await fault()
            healed = time.monotonic()
            recovery = await self._patient.recovered(healed, RECOVERY)
            blows.append(Blow(name, dealt - began, healed - dealt, recovery))
            tell(blows[-1])
            if recovery is None:
                break
        return blows

    def _faults(self) -> list[Fault]:
        every = list(self._proxies.values())
        faults: list[Fault] = [
            ("killed, and started again", self._kill),
            ("connections to Kafka cut", partial(self._cut, every)),
            ("connections to Kafka frozen", partial(self._freeze, every)),
            (f"connections to Kafka slowed by {DELAY:g} s", self._slow),
            ("answers of Kafka held back, then killed", self._deafen_and_kill),
            ("answers of Kafka held back, then cut", self._deafen_and_cut),
            ("spool filled while Kafka is away", self._fill),
        ]
        if len(self._brokers) > 1:
            for name in self._brokers:
                proxy = self._proxies[name]
                faults.append((f"broker {name} frozen", partial(self._freeze, [proxy])))
                if self._embedded:
                    faults.append((f"broker {name} killed", partial(self._kill_broker, self._embedded, name)))
                else:
                    faults.append((f"broker {name} cut off", partial(self._cut, [proxy])))
        return faults

    async def _kill(self) -> None:
        self._patient.kill()
        self._patient.start()

    @staticmethod
    async def _kill_broker(embedded: EmbeddedKafka, name: str) -> None:
        embedded.kill(name)
        try:
            await asyncio.sleep(FAULT)
        finally:
            embedded.revive(name)

    async def _cut(self, proxies: Sequence[Proxy]) -> None:
        for proxy in proxies:
            proxy.cut()
        await asyncio.sleep(FAULT)
        self._heal()

    async def _freeze(self, proxies: Sequence[Proxy]) -> None:
        for proxy in proxies:
            proxy.freeze()
        await asyncio.sleep(FAULT)
        self._heal()

    async def _slow(self) -> None:
        for proxy in self._proxies.values():
            proxy.slow(DELAY)
        await asyncio.sleep(FAULT)
        self._heal()

    async def _deafen_and_kill(self) -> None:
        """Let Kafka take batches of which the relay never hears, and take it away before it asks again."""
        await self._deafen()
        self._patient.kill()
        self._cut_now()
        self._heal()
        self._patient.start()

    async def _deafen_and_cut(self) -> None:
        await self._deafen()
        self._cut_now()
        self._heal()

    async def _deafen(self) -> None:
        for proxy in self._proxies.values():
            proxy.deafen()
        await asyncio.sleep(1.0)

    async def _fill(self) -> None:
        for proxy in self._proxies.values():
            proxy.freeze()
        try:
            if not await self._volley.fill():
                raise Failure("the spool could not be filled")
        finally:
            self._heal()

    def _cut_now(self) -> None:
        for proxy in self._proxies.values():
            proxy.cut()

    def _heal(self) -> None:
        for proxy in self._proxies.values():
            proxy.heal()
