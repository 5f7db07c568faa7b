"""Keys: the key rings of all sources, kept in one file."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable
from relay.core.model import Key, Signs, Source
from relay.health import Check
from relay.health import State as Health
from relay.keys import file
from relay.keys.asked import Fetching, Retiring
from relay.keys.keyring import Keyring
from relay.keys.ring import Ring, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.config import Config
    from relay.keys.asked import KeysAsked
    from relay.keys.ring import KeyRow
    from relay.metrics import Metrics

log = structlog.get_logger()

SAVE_EVERY = 60.0  # seconds; also what could not be written is tried again, and when keys were last used is written
NOBODY = Source("", "", "", (Key("", secrets.token_bytes(36)),), Signs.BODY, UTC)
"""Whose path is unknown: its key is nobody's, so that no signature fits."""


class Keys:
    """The keyrings by the name of their source.

    Whoever makes it has the right to write the spool, beside which the file is: a relay, or a command in its place.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        """Serve the configured keys; `open` adds those of the file."""
        self._path = file.path_of(config.spool.path)
        self._config = config
        self._metrics = metrics
        self._kept: dict[str, Ring] = {}
        self._saving = asyncio.Lock()
        self._writing = threading.Lock()
        self.rings: dict[str, Keyring] = {}
        self._nobodys = Keyring(NOBODY, None, Ring(), metrics, self._save)
        self._build()

    def open(self, *, mend: bool = True) -> None:
        """Read the file; blocks. A damaged one is set aside, and the log says so. Raises `Unavailable`.

        Without `mend` that is raised too, and nothing is written.
        """
        if mend:
            try:
                self._kept = file.read(self._path)
            except file.DamagedError as error:
                self._set_aside(str(error))
            self._tighten()
        else:
            self._kept = file.look(self._path)
        self._build()
        for row in self.rows():
            if row.state is State.RETIRED and row.origins:
                log.error("key.refused", source=row.source, fingerprint=row.fingerprint, hint=_hint(row.source))

    def ring(self, source: Source) -> Keyring:
        """Give the keyring of a source, or that of `NOBODY`."""
        return self._nobodys if source is NOBODY else self.rings[source.name]

    def sources(self) -> Sequence[Source]:
        """Give all sources, each with the keys that are good now."""
        return [ring.source for ring in self.rings.values()]

    async def run(self) -> None:
        """Fetch the keys of all sources until cancelled; at times and at last write down when they were last used."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for ring in self.rings.values():
                    tasks.create_task(ring.run())
                while True:
                    await asyncio.sleep(SAVE_EVERY)
                    with suppress(Unavailable):  # it is logged, and tried again
                        await self._save()
        finally:
            if self._now() != self._kept:
                self._write_last()

    async def answer(self, asked: KeysAsked) -> Sequence[KeyRow]:
        """Do what an operator asks for, and tell the keys. Raises `Unavailable`, with what is wrong."""
        if asked.source is not None and asked.source not in self.rings:
            raise Unavailable(f"there is no source {asked.source}; there are: {', '.join(self.rings)}")
        rings = [self.rings[asked.source]] if asked.source is not None else list(self.rings.values())
        if isinstance(asked, Fetching):
            fetching = [ring for ring in rings if ring.fetches] if asked.source is None else rings
            if not fetching:
                raise Unavailable("no source has point.fetch_key: there is no key to fetch")
            await asyncio.gather(*(ring.fetch() for ring in fetching))
            await self._save()
        elif isinstance(asked, Retiring):
            having = [ring for ring in rings if any(row.fingerprint == asked.fingerprint for row in ring.rows())]
            if not having:
                raise Unavailable(
                    f"no key has the fingerprint {asked.fingerprint}; relay keys list has those there are"
                )
            for ring in having:
                ring.retire(asked.fingerprint)
            await self._save()
        return [row for ring in rings for row in ring.rows()]

    def rows(self) -> list[KeyRow]:
        """Tell every key of every source."""
        return [row for ring in self.rings.values() for row in ring.rows()]

    def checks(self) -> Iterator[Check]:
        """Give a row of health for each source, which fails without a key, and one for what is wrong beside it.

        The relay is out of service only when no source has a key.
        """
        serves = any(ring.source.keys for ring in self.rings.values())
        for name, ring in self.rings.items():
            count = len(ring.source.keys)
            detail = f"{count} key{'s' * (count != 1)}, signs the {ring.source.signs}"
            if not count:
                detail = f"no key yet, so that deliveries are answered 503: {ring.fault or 'none was fetched yet'}"
            yield Check(f"source {name}", Health.OK if count else Health.FAIL, detail, vital=not serves)
            if ring.fault:
                yield Check(f"key of {name}", Health.WARN, f"not fetched: {ring.fault}")
            elif ring.fetched_at is not None:
                yield Check(f"key of {name}", Health.OK, f"fetched {max(0.0, time.time() - ring.fetched_at):.0f} s ago")
            for row in ring.rows():
                if row.state is State.RETIRED and row.origins:
                    yield Check(f"key {row.fingerprint}", Health.WARN, f"was retired by hand; {_hint(name)}")

    def _build(self) -> None:
        for source in self._config.sources:
            ring, point = self._kept.get(source.name, Ring()), self._config.points.get(source.name)
            self.rings[source.name] = Keyring(source, point, ring, self._metrics, self._save)

    def _tighten(self) -> None:
        hint = "if others were on this machine, generate a new signature key in Syskit Point and retire the old one"
        try:
            if file.tighten(self._path):
                log.warning("keys.exposed", path=str(self._path), hint=hint)
        except OSError as error:
            log.warning("keys.exposed", path=str(self._path), error=error.strerror, hint=f"give it mode 0600; {hint}")

    def _set_aside(self, why: str) -> None:
        try:
            aside = file.set_aside(self._path)
        except OSError as error:
            raise Unavailable(f"{why}, and it cannot be moved: {error.strerror}; move it away") from error
        hint = "fetched keys are fetched anew; keys that were retired by hand have to be retired again"
        log.error("keys.damaged", error=why, set_aside=str(aside), hint=hint)

    async def _save(self) -> None:
        """Write the file, durably, unless it has it all. Raises `Unavailable`, and logs it."""
        async with self._saving:
            kept = self._now()
            if kept == self._kept:
                return
            try:
                await asyncio.to_thread(self._write, kept)
            except OSError as error:
                raise self._unsaved(error) from error
            self._kept = kept

    def _write(self, kept: dict[str, Ring]) -> None:
        """Write in any thread: one that is cancelled goes on, and what is written after it has to be newer."""
        with self._writing:
            file.write(self._path, kept)

    def _write_last(self) -> None:
        try:
            self._write(self._now())
        except OSError as error:
            self._unsaved(error)

    def _now(self) -> dict[str, Ring]:
        """Give what is to be kept: also of sources that are not configured now, which may come back."""
        return self._kept | {name: ring.ring for name, ring in self.rings.items()}

    def _unsaved(self, error: OSError) -> Unavailable:
        why = f"{self._path} cannot be written: {error.strerror}; it is as before, and a restart forgets what is new"
        log.error("keys.unsaved", error=why)
        return Unavailable(why)


def _hint(source: str) -> str:
    return f"take it out of sources.{source}.keys"
