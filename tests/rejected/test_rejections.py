"""Which of the refused requests are taken, and how they are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

from multidict import CIMultiDict, CIMultiDictProxy
from structlog.testing import capture_logs
from yarl import URL

from relay.core.errors import Refusal
from relay.health import MAX_ANSWER
from relay.metrics import Metrics
from relay.rejected import Rejections
from relay.rejected.rejection import HEADERS, MAX_VALUE, MAX_VALUES
from relay.rejected.ring import COUNT
from tests.core.samples import SOURCE

if TYPE_CHECKING:
    import pytest


async def test_of_a_flood_one_a_second_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten at once, then one a second, of each source; and of what no source has the path of."""
    clock = SimpleNamespace(now=5.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("relay.rejected.rejections.time", clock)
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    rejections = Rejections(lambda: [SOURCE], metrics, keep_bodies=False)
    assert sum(rejections.wants("contoso") for _ in range(1000)) == 10
    assert sum(rejections.wants(None) for _ in range(1000)) == 10
    clock.now = 7.0
    assert sum(rejections.wants("contoso") for _ in range(1000)) == 2
    await rejections.close()


async def test_the_list_fits_into_an_answer_however_long_the_headers_are() -> None:
    """A forger who fills every header, at eight sources: the headers are with each one alone, as is its body."""
    headers = CIMultiDict([(name, "\xe9" * MAX_VALUE) for name in HEADERS for _ in range(MAX_VALUES)])
    head = SimpleNamespace(path="/hooks", url=URL("http://relay/hooks"), headers=CIMultiDictProxy(headers))
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    rejections = Rejections(lambda: [SOURCE], metrics, keep_bodies=True)
    with capture_logs():
        for number in range(COUNT * 8):
            source = replace(SOURCE, name=f"source{number % 8}")
            rejections.take(source, Refusal.MISSING_SIGNATURE, head, None, b"body", {})
        await rejections.close()
    page = rejections.show({}) or b""
    assert len(page) < MAX_ANSWER
    listed = json.loads(page)
    assert len(listed) > COUNT * 7
    assert not any(one["headers"] or one["body"] for one in listed)
    alone = json.loads(rejections.show({"id": listed[0]["id"]}) or b"")
    assert len(alone["headers"]) == len(HEADERS) * MAX_VALUES
    assert alone["body"]
