"""Rejections: which of the refused requests are taken, what is told of them, and how they are found again.

A forger's flood costs nothing: of each source so many are taken at once, and one a second in the long run.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec.structs import replace

from relay.core.bucket import Buckets
from relay.core.errors import Refusal
from relay.rejected.examiner import Examiner
from relay.rejected.rejection import Rejection, headers_of, path_of
from relay.rejected.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.core.gate import Address
    from relay.core.model import Source
    from relay.metrics import Metrics
    from relay.rejected.rejection import Head

log = structlog.get_logger()

TAKEN_A_SECOND = 1.0
TAKEN_AT_ONCE = 10
TAKEN_OF = 4096  # sources, of which there are few
MAX_BODY = 64 << 10
"""A larger body is not kept."""

EXAMINED = frozenset(
    {Refusal.BAD_SIGNATURE, Refusal.AMBIGUOUS_CONTENT, Refusal.REPEATED_SIGNATURE, Refusal.MALFORMED_SIGNATURE}
)
"""What the doctor knows about."""
AT_THE_GATE = frozenset({Refusal.BAD_QUERY, Refusal.FOREIGN_NETWORK})
"""What is refused for its head, with a detail that is the verdict."""

_encode = msgspec.json.Encoder().encode


class Rejections:
    """Remembers a sample of the refused requests, and has the doctor look at them. For the event loop alone."""

    def __init__(self, sources: Callable[[], Sequence[Source]], metrics: Metrics, *, keep_bodies: bool) -> None:
        """Know the keys of `sources` of the moment; without `keep_bodies` no body outlives the doctor's look."""
        self._metrics = metrics
        self._keep_bodies = keep_bodies
        self._examiner = Examiner(sources)
        self._ring = Ring()
        self._may_take = Buckets(TAKEN_A_SECOND, TAKEN_AT_ONCE, TAKEN_OF).take
        self._tasks: set[asyncio.Task[None]] = set()
        self._mark, self._last = secrets.token_hex(2), 0

    def wants(self, source: str | None) -> bool:
        """Tell whether one more of a source is taken now, and count it as taken."""
        return self._may_take(source, time.monotonic())

    def take(  # noqa: PLR0913, PLR0917 - what is known of a refused request
        self,
        source: Source | None,
        reason: Refusal,
        head: Head,
        client: Address | None,
        body: bytes | None,
        told: Mapping[str, str],
    ) -> None:
        """Remember one that `wants` let in, and log it, with its verdict once there is one; `told` goes along."""
        self._last += 1
        rejection = Rejection(
            id=f"r{self._mark}-{self._last}",
            at=time.time(),
            source=source.name if source else None,
            path=path_of(head),
            reason=reason,
            client=str(client) if client else None,
            headers=headers_of(head.headers),
            size=None if body is None else len(body),
            body=body,
        )
        task = asyncio.ensure_future(self._look_at(rejection, source, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def show(self, query: Mapping[str, str]) -> bytes | None:
        """Give them as JSON; with an `id` that one alone, None when it is gone, with its headers and its body.

        Those of all would be megabytes.
        """
        if "id" not in query:
            return _encode([replace(one, headers=(), body=None) for one in self._ring])
        found = [one for one in self._ring if one.id == query["id"]]
        return _encode(found[0]) if found else None

    async def close(self) -> None:
        """Let the doctor end; what waited is logged without a verdict."""
        self._examiner.stop()
        await asyncio.gather(*self._tasks)

    async def _look_at(self, rejection: Rejection, source: Source | None, told: Mapping[str, str]) -> None:
        """Have the doctor look at a request, then keep and log it."""
        body = rejection.body
        verdict = told.get("detail") if rejection.reason in AT_THE_GATE else await self._verdict(rejection, source)
        keeps = self._keep_bodies and body is not None and len(body) <= MAX_BODY
        self._ring.add(replace(rejection, verdict=verdict, body=body if keeps else None))
        said = {"verdict": verdict} if verdict else {}
        said |= {name: value for name, value in told.items() if value != verdict}
        log.warning(
            "delivery.rejected", client=rejection.client, reason=rejection.reason, rejected=rejection.id, **said
        )

    async def _verdict(self, rejection: Rejection, source: Source | None) -> str | None:
        if rejection.reason is Refusal.MISSING_SIGNATURE:
            return "it has no Signature header"
        if source is None or rejection.body is None or rejection.reason not in EXAMINED:
            return None
        verdict, explained = await self._examiner.examine(source, rejection.values("Signature"), rejection.body)
        if explained:
            self._metrics.rejection_explained(source.name)
        return verdict
