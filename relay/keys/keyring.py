"""Keyring: one source's keys in service, those fetched and those configured."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import structlog

from relay.core.errors import Cause, Refusal, Rejected, Unavailable
from relay.keys.pace import Pace
from relay.keys.ring import LeakedError
from relay.point import Point, PointError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import NoReturn

    from relay.config import FetchKey, PointConfig
    from relay.core.model import Source
    from relay.keys.ring import KeyRow, Ring
    from relay.metrics import Metrics

log = structlog.get_logger()

PATIENCE = 3.0  # seconds that a request waits for a fetch
LONGEST_FETCH = 30.0  # seconds that a person waits for one
WAITING, HELD = 100, 16 << 20  # requests that wait together, and bytes of their bodies
LONGEST_SLEEP = 60.0  # the clock may be set, and keys end by it

LEAKED = "was retired by hand and is not taken back; generate a new signature key in Syskit Point's settings"


class Keyring:
    """`source` always has the keys that are good now; `used` has the times of last use by fingerprint, to be written.

    `fault` says why the last fetch brought no key, None when it did or there was none; `fetched_at` is when one did.
    """

    def __init__(
        self,
        source: Source,
        config: PointConfig | None,
        ring: Ring,
        metrics: Metrics,
        save: Callable[[], Awaitable[None]],
    ) -> None:
        """Serve the keys of `source` and, when `config` says to fetch, those of `ring`; `save` keeps what is new."""
        self._configured = source.keys
        self._fetching: FetchKey | None = config.fetch_key if config else None
        self._config = config
        self._metrics = metrics
        self._save = save
        self._ring = ring.serving(fetches=self.fetches)
        self._pace = Pace(self._fetching.every if self._fetching else math.inf)
        self._asked = False
        self._wake = asyncio.Event()
        self._turn = asyncio.Event()
        self._begun = self._ended = self._waiting = self._held = 0
        self.fault: str | None = None
        self.fetched_at: float | None = None
        self.source = source
        self.used = dict(ring.last_used)
        self._serve()

    @property
    def fetches(self) -> bool:
        """Tell whether the key is fetched at all."""
        return self._fetching is not None

    @property
    def ring(self) -> Ring:
        """What is to be remembered."""
        return msgspec.structs.replace(self._ring, last_used=dict(self.used)).forgotten(self._configured)

    def rows(self) -> list[KeyRow]:
        """Tell every key by its fingerprint."""
        return self.ring.rows(self.source.name, self._configured, time.time())

    async def renewed(self, tried: Source, rejected: Rejected, size: int) -> Source:
        """Give the source with keys that are new since `tried`, whose keys a signature did not fit; `size` in bytes.

        Waits for a fetch, with a bounded number of others and for a bounded time. Raises `rejected` when there is no
        other key, and `Unavailable` when that cannot be told now.
        """
        if rejected.refusal is not Refusal.BAD_SIGNATURE:
            raise Rejected(rejected.refusal, rejected.detail)
        if not self._fetching:
            self._judge(rejected)
        seen = self._begun
        self.ask()
        if self._pace.soonest - time.monotonic() > PATIENCE:
            raise self._unavailable(self.fault or "the key was fetched lately, and is fetched again soon")
        if self._waiting >= WAITING or (self._waiting and self._held + size > HELD):
            raise self._unavailable("the key is being fetched, and as many wait for it as may")
        self._waiting += 1
        self._held += size
        try:
            async with asyncio.timeout(PATIENCE):
                while self._ended <= seen and not self._has_new(tried):
                    await self._turn.wait()
        except TimeoutError:
            if self._ended <= seen:
                raise self._unavailable(self.fault or "fetching the key takes long") from None
        finally:
            self._waiting -= 1
            self._held -= size
        if not self._has_new(tried):
            self._judge(rejected)
        return self.source

    def ask(self) -> None:
        """Have the key fetched, if it is at all, as soon as the pace allows; many who ask until then ask for one."""
        if not self._asked:
            self._asked = True
            self._wake.set()

    async def fetch(self) -> None:
        """Fetch the key now, for a person. Raises `Unavailable` when that brings none."""
        if not self._fetching:
            raise Unavailable(f"the source {self.source.name} has no point.fetch_key: its keys are the configured ones")
        seen = self._begun
        self._pace.ask(time.monotonic())
        self._asked = False
        self.ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FETCH):
                while self._ended <= seen:
                    await self._turn.wait()
        if self.fault or self._ended <= seen:
            raise Unavailable(self.fault or f"Syskit Point did not answer within {LONGEST_FETCH:.0f} s")

    def retire(self, key_id: str) -> None:
        """Let a key never be good again; after a restart too, once that is written, which is left to the caller."""
        self._ring = self._ring.retire(key_id, time.time())
        self._serve()
        log.warning("key.retired", source=self.source.name, fingerprint=key_id, why="by hand")
        self._pace.ask(time.monotonic())
        self._asked = False  # it may have been asked for at the pace of before
        self.ask()

    async def run(self) -> None:
        """Fetch the key at start and at its pace, and let old ones end, until cancelled."""
        if not self._config or not self._fetching:
            return
        async with Point(self._config) as point:
            while True:
                await self._fetch(point, self._fetching.overlap)
                await self._pause()

    async def _fetch(self, point: Point, overlap: float) -> None:
        """Ask for the key once, and let those who wait for it go on."""
        self._begun += 1
        self._pace.begin(time.monotonic(), asked=self._asked)
        self._asked = False
        try:
            secret = await point.signature_key()
            before = self._ring  # as it is now: a key may have been retired meanwhile
            self._ring = self.ring.take(secret, time.time(), overlap)
        except LeakedError as leaked:
            self._fail(f"the key {leaked} of Syskit Point {LEAKED}")
        except PointError as error:
            self._fail(str(error), error.retry_after)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the relay, which has its other keys
            self._fail(f"unexpected: {error!r}")
        else:
            self._succeed(before)
        self._ended = self._begun
        self._turn.set()
        self._turn = asyncio.Event()
        await self._try_to_save()

    def _succeed(self, before: Ring) -> None:
        name, key_id = self.source.name, self._ring.fetched[-1].id
        changed = self._ring.fetched[-1:] != before.fetched[-1:]
        if changed:
            ends = {key.id: key.retires_at for key in self._ring.fetched[:-1]}
            log.info("key.added", source=name, fingerprint=key_id, retiring=ends)
        if self.fault:
            log.info("key.fetched", source=name, fingerprint=key_id)
        self._serve()
        self.fault, self.fetched_at = None, time.time()
        self._pace.succeeded(changed=changed)
        self._metrics.point.key_fetched(name, succeeded=True)

    def _fail(self, why: str, retry_after: float | None = None) -> None:
        self.fault = why
        self._pace.failed(time.monotonic(), retry_after, random.random())  # noqa: S311 - it spreads, and hides nothing
        self._metrics.point.key_fetched(self.source.name, succeeded=False)
        good = [key.id for key in self.source.keys]
        again = round(self._pace.due - time.monotonic(), 1)
        log.error("key.unfetched", source=self.source.name, error=why, good=good, again_in=again)

    async def _pause(self) -> None:
        """Wait until the next fetch is due, or one is asked for that may be."""
        while True:
            self._sweep()
            self._wake.clear()
            now, due = time.monotonic(), self._pace.due
            if self._asked:
                due = min(due, self._pace.soonest)
            if now >= due:
                return
            end = self._ring.next_end()
            left = LONGEST_SLEEP if end is None else max(0.0, end - time.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(min(due - now, left, LONGEST_SLEEP)):
                    await self._wake.wait()

    def _sweep(self) -> None:
        """Let go the keys whose end has come."""
        before = {key.id for key in self._ring.fetched}
        self._serve()
        for key_id in before - {key.id for key in self._ring.fetched}:
            log.info("key.retired", source=self.source.name, fingerprint=key_id, why="its overlap is over")

    def _serve(self) -> None:
        """Put the keys that are good now into service."""
        now = time.time()
        self._ring = self._ring.swept(self._configured, now)
        self.source = replace(self.source, keys=self._ring.good(self._configured, now))

    async def _try_to_save(self) -> None:
        with suppress(Unavailable):  # which is told by whoever saves; the key is good all the same
            await self._save()

    def _has_new(self, tried: Source) -> bool:
        return self.source is not tried and any(key not in tried.keys for key in self.source.keys)

    def _judge(self, rejected: Rejected) -> NoReturn:
        """Refuse a signature when the keys are surely those of now, or put it off when nobody knows."""
        if not self.source.keys or (self._fetching and (self.fault or self.fetched_at is None)):
            raise self._unavailable(self.fault or "there is no key yet")
        # Another one: who raises what it was handed holds it, and all it came through, until garbage is collected.
        raise Rejected(rejected.refusal, rejected.detail)

    def _unavailable(self, why: str) -> Unavailable:
        wait = max(1, math.ceil(self._pace.soonest - time.monotonic())) if self._fetching else 60
        detail = f"the signature fits no key of the source {self.source.name}: {why}"
        return Unavailable(detail, retry_after=wait, cause=Cause.NO_KEY)
