"""Brokers of this room's own, which may be frozen, and an eye on what a killed client leaves behind."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.kafka.cluster import Cluster as Brokers
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def own(kafka_installed: None) -> Iterator[Brokers]:
    """Give a broker that tests may freeze."""
    with Brokers() as brokers:
        yield brokers


def freeze(brokers: Brokers) -> None:
    """Freeze the broker; return when it is, since a busy machine lets it answer for a moment after the signal."""
    brokers.pause(1)
    process = brokers._brokers[1]._process
    assert process
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.fixture
async def frozen(own: Brokers) -> AsyncIterator[Brokers]:
    """Give that broker to a test that freezes it; it goes on afterwards."""
    yield own
    own.resume(1)


@pytest.fixture
def topic() -> str:
    """Name a topic that does not exist yet."""
    return f"t-{uuid.uuid4()}"


@pytest.fixture
async def tidy() -> AsyncIterator[None]:
    """Fail when a test leaves a task behind, or an error that nobody took."""
    errors: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, found: errors.append(found))
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(5):
        await until(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})
    assert errors == []
