"""Demonstration: posts the samples, one after the other, and shows what becomes of each."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING

import msgspec

from relay.core.model import Receipt
from relay.sandbox import sender
from relay.sandbox.failure import Failure
from relay.sandbox.samples import own_sample, samples

if TYPE_CHECKING:
    from pathlib import Path

    from relay.core.model import Source
    from relay.sandbox.overheard import Overheard
    from relay.sandbox.samples import Sample
    from relay.sandbox.screen import Screen
    from relay.sandbox.sender import Answer
    from relay.sandbox.subscriber import Subscriber

REFUSED = 401
PATIENCE = 10.0


class Demonstration:
    """Sends as Syskit Point does, over HTTP, and reads as a subscriber does, out of Kafka."""

    def __init__(  # noqa: PLR0913 - all that takes part in it, each by keyword
        self, *, source: Source, url: str, spool: Path, screen: Screen, overheard: Overheard, subscriber: Subscriber
    ) -> None:
        """Post to `url` as `source`; `spool` is the relay's file, named to whoever looks for a dead letter."""
        self._source = source
        self._url = url
        self._spool = spool
        self._screen = screen
        self._overheard = overheard
        self._subscriber = subscriber

    async def run(self) -> None:
        """Show every sample. Raises `Failure` at the first that ends in another way than it should."""
        for number, sample in enumerate(samples(self._source), 1):
            await self._show(number, sample)
        self._overheard.telling = False

    def invite(self, source: Source, health: str, topic: str) -> None:
        """Say where everything is, with a line to post as `source` and a line to read; `topic` is where that goes."""
        self._screen.closing(self._url, source.keys[0].secret.decode(), health)
        self._screen.curl(self._url, own_sample(source))
        self._screen.kcat(self._subscriber.bootstrap, topic)
        self._screen.leaving()

    async def _show(self, number: int, sample: Sample) -> None:
        self._screen.title(number, sample)
        self._screen.request(self._source.path, sample)
        answer = await self._post(sample)
        self._screen.answer(answer)
        receipt = msgspec.json.decode(answer.text, type=Receipt) if answer.fields.get("status") else None
        for placed in receipt.records if receipt else ():
            self._screen.record(await asyncio.to_thread(self._subscriber.read, placed))
        status = receipt.status if receipt else None
        if status != sample.status or (receipt is None and answer.status != REFUSED):
            wanted = sample.status or f"refused with {REFUSED}"
            raise Failure(f"delivery {number} should be {wanted}, but was answered {answer.status} {status or ''}")
        if receipt is None:
            await self._hear_verdict()
        self._explain(receipt)

    async def _hear_verdict(self) -> None:
        """Wait for the line on a refusal, which is written once the doctor has had its look."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._overheard.has("delivery.rejected"):  # noqa: ASYNC110 - the log knows no waiting
                    await asyncio.sleep(0.01)

    async def _post(self, sample: Sample) -> Answer:
        try:
            return await asyncio.to_thread(sender.post, self._url, sample.headers, sample.body)
        except (OSError, HTTPException) as error:
            raise Failure(f"the relay does not answer at {self._url}: {error}") from error

    def _explain(self, receipt: Receipt | None) -> None:
        """Say what only the relay's log says: why, where, and by which rule."""
        told = self._overheard.take()
        if line := told.get("delivery.rejected"):
            self._screen.note("why", f"{line.reason}, which only the log says")
        if (line := told.get("delivery.dead")) and receipt:
            self._screen.note("why", f"{line.reason}: {line.detail}")
            self._screen.note("kept", f"as delivery {receipt.delivery} in {self._spool}, with body and signature")
        if line := told.get("delivery.dropped"):
            self._screen.note("rule", str(line.route))
