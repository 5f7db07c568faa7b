"""Volley: signed deliveries of known ids, sent at a rate, in order by workspace, each until it is acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from relay.core.errors import Undeliverable
from relay.core.pipeline import Pipeline
from relay.core.signature import authenticate
from relay.sandbox.failure import Failure
from relay.sandbox.sender import headers_for

if TYPE_CHECKING:
    from relay.config import Config

KINDS = ("ProvisioningStarted", "ProvisioningCompleted", "ProvisioningFailed")
WORKSPACES = 8
FORGE_EVERY = 20  # of so many deliveries one is altered after it was signed
PATIENCE = 20.0  # seconds for an answer
RETRY = 0.1
TOGETHER = 256  # requests under way while the spool is filled
FILL_ROUNDS = 50
ACCEPTED, REFUSED, BUSY, UNAVAILABLE = 202, 401, 429, 503


class Due(NamedTuple):
    """A record that a delivery must give: where, and the digests of its key and value."""

    topic: str
    key: bytes
    digest: bytes


@dataclass(slots=True)
class Sent:
    """One delivery: whose, which of its workspace's, what must come of it, and whether it was acknowledged."""

    workspace: str
    place: int
    due: tuple[Due, ...]
    acknowledged: bool = False


class Volley:
    """Sends as one source does: a workspace the next once the last was acknowledged, and the same again until then.

    `sent` has every delivery by id, `forged` the ids of those that were altered. `refused` counts answers of
    429 and 503, `unanswered` requests that got none. `seconds` is how long it took in the end.
    """

    def __init__(self, config: Config, url: str, rate: float) -> None:
        """Send to `url`, `rate` a second at most. Raises `Failure` when the rules publish nothing of what is sent."""
        self._source = config.sources[0]
        self._pipeline = Pipeline({one.name: one for one in config.sources}, config.routes, config.envelope)
        self._padding = min(config.listen.max_body // 2, 16_384)
        self._url = url
        self._interval = WORKSPACES / rate
        self._over = asyncio.Event()
        self.sent: dict[str, Sent] = {}
        self.forged: set[str] = set()
        self.refused = self.unanswered = self.forgeries_accepted = 0
        self.seconds = 0.0
        self.answered_at = 0.0  # of the last acknowledgement: when its request was begun (monotonic)
        self._kinds = [kind for kind in KINDS if self._due(_body(kind, "drill", "id"))]
        if not self._kinds:
            raise Failure(
                f"the rules of this configuration publish none of {', '.join(KINDS)}: nothing could be drilled"
            )

    async def run(self) -> None:
        """Send until `stop`; then each workspace waits for the answer that it is owed, and asks no more."""
        started = time.monotonic()
        async with self._session() as session, asyncio.TaskGroup() as tasks:
            for number in range(WORKSPACES):
                tasks.create_task(self._workspace(session, f"drill-{number}"))
        self.seconds = time.monotonic() - started

    @property
    def topics(self) -> set[str]:
        """The topics of what was sent."""
        return {due.topic for sent in self.sent.values() for due in sent.due}

    def stop(self) -> None:
        """Send nothing more: what was refused until now stays unacknowledged. `run` ends within `PATIENCE`."""
        self._over.set()

    async def fill(self) -> bool:
        """Send large deliveries, each once and many at a time, until one is refused; False when none was."""
        async with self._session() as session:
            for _ in range(FILL_ROUNDS):
                statuses = await asyncio.gather(*(self._fill_one(session) for _ in range(TOGETHER)))
                if UNAVAILABLE in statuses:
                    return True
        return False

    async def _fill_one(self, session: aiohttp.ClientSession) -> int | None:
        body, id_ = self._make(f"fill-{len(self.sent)}", 0, "x" * self._padding)
        status = await self._post(session, body)
        self.sent[id_].acknowledged = status == ACCEPTED
        return status

    async def _workspace(self, session: aiohttp.ClientSession, name: str) -> None:
        place = 0
        while not self._over.is_set():
            started = time.monotonic()
            body, id_ = self._make(name, place, "")
            while (status := await self._post(session, body)) != ACCEPTED:
                if status not in {None, BUSY, UNAVAILABLE}:
                    raise Failure(f"the relay answered {status} to an authentic delivery")
                if await self._over_within(RETRY):
                    return
            self.sent[id_].acknowledged = True
            self.answered_at = max(self.answered_at, started)
            place += 1
            if place % FORGE_EVERY == 0:
                await self._forge(session, name)
            await self._over_within(started + self._interval - time.monotonic())

    async def _over_within(self, seconds: float) -> bool:
        """Wait for so long, or until `stop`; tell whether it is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), max(0.0, seconds))
        return self._over.is_set()

    def _make(self, workspace: str, place: int, padding: str) -> tuple[bytes, str]:
        """Make a delivery, and note what must come of it."""
        id_ = f"{workspace}/{place}/{hashlib.sha256(f'{workspace}{place}{time.time_ns()}'.encode()).hexdigest()[:8]}"
        body = _body(self._kinds[place % len(self._kinds)], workspace, id_, padding)
        self.sent[id_] = Sent(workspace, place, self._due(body))
        return body, id_

    async def _forge(self, session: aiohttp.ClientSession, name: str) -> None:
        id_ = f"{name}/forged/{time.monotonic_ns()}"
        body = _body(self._kinds[0], name, id_)
        self.forged.add(id_)
        self.forgeries_accepted += await self._post(session, _altered(body), signed=body) == ACCEPTED

    async def _post(self, session: aiohttp.ClientSession, body: bytes, signed: bytes | None = None) -> int | None:
        """Post once; give the status, None without an answer."""
        headers = headers_for(self._source, body if signed is None else signed)
        try:
            async with session.post(self._url, data=body, headers=headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.unanswered += 1
            return None
        self.refused += answer.status in {BUSY, UNAVAILABLE}
        return answer.status

    def _due(self, body: bytes) -> tuple[Due, ...]:
        headers = headers_for(self._source, body)
        delivery = authenticate(
            self._source,
            [headers["Signature"]],
            body,
            algorithms=[headers["Algorithm"]],
            received_at=0.0,
            traceparent=None,
        )
        try:
            records = self._pipeline.process(delivery).records
        except Undeliverable:
            return ()
        return tuple(Due(record.topic, record.key, hashlib.sha256(record.value).digest()) for record in records)

    @staticmethod
    def _session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))


def _altered(body: bytes) -> bytes:
    """Change what is signed in any case: the content."""
    return body.replace(b'"MicrosoftTeams"', b'"MicrosoftTeamz"')


def _body(kind: str, workspace: str, id_: str, padding: str = "") -> bytes:
    # Where a source signs the content alone, that is what tells one delivery from another.
    content = {"name": workspace, "type": "MicrosoftTeams", "correlationId": id_, "padding": padding}
    meta = {"timeStamp": "2026-08-03T09:15:02", "idempotencyKey": id_}
    return json.dumps({"type": kind, "content": content, "meta": meta}, separators=(",", ":")).encode()
