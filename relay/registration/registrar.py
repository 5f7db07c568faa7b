"""Registrar: looks after one source's registration while the relay runs."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from relay.config.url import shown
from relay.health import Check, State
from relay.point import Endpoint, Point, PointError, backoff
from relay.registration.difference import Difference, Finding, difference
from relay.registration.mending import UnmendedError, mend

if TYPE_CHECKING:
    from relay.config import PointConfig, Register
    from relay.metrics import Metrics

log = structlog.get_logger()

MAX_BACKOFF = 300.0


class Registrar:
    """Compares and mends at start and every `register.every`, until `run` is cancelled. Never stops the relay."""

    def __init__(self, source: str, config: PointConfig, register: Register, metrics: Metrics) -> None:
        """Ask nothing yet."""
        self._source = source
        self._config = config
        self._every = register.every
        self._wanted = Endpoint(register.endpoint, register.types)
        self._metrics = metrics
        self._found: Difference | None = None
        self._fault: str | None = None
        self._unmended: UnmendedError | None = None
        self._failures = 0
        metrics.point.registered(source, right=False)

    @property
    def check(self) -> Check:
        """A row of health, which fails without making the relay unready: what comes can still be stored."""
        name = f"registration of {self._source}"
        if self._fault:
            return Check(name, State.FAIL, self._fault, vital=False)
        if self._found is None:
            return Check(name, State.WARN, "Syskit Point was not asked yet", vital=False)
        state = State.OK if self._found.finding is Finding.RIGHT else State.FAIL
        if self._given_up(self._found):
            state = State.WARN
        return Check(name, state, str(self._unmended or self._found), vital=False)

    async def run(self) -> None:
        """Look, mend, and wait."""
        async with Point(self._config) as point:
            while True:
                pause = await self._look(point)
                await asyncio.sleep(pause)

    async def _look(self, point: Point) -> float:
        """Compare once and mend what is to be mended; give the seconds until the next time."""
        try:
            self._see(difference(self._wanted, await point.endpoints()))
            if self._found and self._found.finding is not Finding.RIGHT and not self._given_up(self._found):
                await self._mend(point, self._found)
        except UnmendedError as error:
            self._unmendable(error)
        except PointError as error:
            return self._fail(str(error), error.retry_after)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the relay, which stores all the same
            return self._fail(f"unexpected: {error!r}", None)
        self._fault, self._failures = None, 0
        return self._every

    async def _mend(self, point: Point, found: Difference) -> None:
        if not self._unhelped(found):
            log.warning("registration.missing", source=self._source, finding=found.finding, detail=str(found))
        now = await mend(point, found)
        self._see(now)
        log.info("registration.mended", source=self._source, endpoint=shown(now.wanted.url), types=now.wanted.types)
        self._metrics.point.registration_mended(self._source)

    def _unmendable(self, error: UnmendedError) -> None:
        """Remember that mending did not help, and say so once for as long as it stays so."""
        told = self._unhelped(error.found)
        self._unmended = error
        self._see(error.found)
        if not told:
            log.error("registration.unmended", source=self._source, error=str(error))

    def _unhelped(self, found: Difference) -> bool:
        """Tell whether mending did not help before, and it is missing still, or what is listed is the very same."""
        if self._unmended is None or self._unmended.found.finding is not found.finding:
            return False
        return found.finding is Finding.MISSING or self._unmended.found.listing == found.listing

    def _given_up(self, found: Difference) -> bool:
        """Tell whether it is let be until the listing changes: another attempt might delete or double what is there."""
        unmended = self._unmended
        return unmended is not None and not found.repeats_safely and unmended.found.listing == found.listing

    def _see(self, found: Difference) -> None:
        self._found = found
        if not self._unhelped(found):
            self._unmended = None
        self._metrics.point.registered(self._source, right=found.finding is Finding.RIGHT)

    def _fail(self, why: str, retry_after: float | None) -> float:
        """Tell what went wrong, and give how long to wait: no longer than usual, save when asked to."""
        self._fault = why
        self._failures += 1
        jitter = random.random()  # noqa: S311 - it spreads, and hides nothing
        wait = backoff(self._failures, min(MAX_BACKOFF, self._every), retry_after, jitter)
        log.error("registration.failed", source=self._source, error=why, again_in=round(wait, 1))
        return wait
