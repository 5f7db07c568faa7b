"""What of the listener cannot be seen from outside: aiohttp's settings in force, and faults of our own."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn
from unittest.mock import Mock

from aiohttp import web_protocol
from structlog.testing import capture_logs

from relay.config import Listen
from relay.ingest import Headers, Ingest
from relay.metrics import Metrics
from relay.rejected import Rejections
from relay.server import Listener
from relay.server.answer import unreadable
from relay.server.connection import MAX_HEADERS, MAX_LINE, PRIVATE, Connection
from relay.server.server import Server
from tests.core.samples import SOURCE
from tests.running import event, request, signed
from tests.wire import Answer, Wire

if TYPE_CHECKING:
    import pytest

    from relay.core.model import Source
    from relay.server.answer import Answer as AnswerOfOurs
    from relay.server.request import Request


class Faulty(Ingest):
    """An ingest with a fault of ours in it."""

    def __init__(self) -> None:  # the parts of an ingest are never reached
        """Have no parts."""

    @property
    def is_full(self) -> bool:
        """Have room."""
        return False

    async def receive(self, source: Source, headers: Headers, body: bytes) -> NoReturn:  # noqa: ARG002 - as its base
        """Meet the fault."""
        raise RuntimeError("a fault in line 17")


async def test_the_settings_of_aiohttp_are_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aiohttp drops every setting when one is misspelt, so those that count are read back from the connection."""
    seen: dict[str, object] = {}

    parser = vars(web_protocol)["HttpRequestParser"]

    def recorded(*arguments: object, **settings: object) -> object:
        seen.update(settings)
        return parser(*arguments, **settings)

    monkeypatch.setattr(web_protocol, "HttpRequestParser", recorded)
    server = Server(_unused, Listen(header_timeout=3.0, idle_timeout=7.0), refuse=unreadable, turn_away=_unasked)
    connection = server()
    expected = {
        "auto_decompress": False,
        "max_line_size": MAX_LINE,
        "max_field_size": MAX_LINE,
        "max_headers": MAX_HEADERS,
    }
    assert expected.items() <= seen.items()
    assert isinstance(connection, Connection)
    assert connection.keepalive_timeout == 7.0
    assert connection.access_logger is None
    assert server.handler_cancellation is False


async def test_what_is_used_of_aiohttp_is_there() -> None:
    """The private attributes that the connection relies on exist in the installed aiohttp, on the parser too."""
    connection = Server(_unused, Listen(header_timeout=3.0, idle_timeout=7.0), refuse=unreadable, turn_away=_unasked)()
    assert [name for name in PRIVATE if not hasattr(connection, name)] == []
    assert callable(connection._parser.message_consumed)  # type: ignore[union-attr]
    assert list(inspect.signature(web_protocol.RequestHandler.start).parameters) == ["self"]


def faulty_listener() -> tuple[Listener, Rejections, Metrics]:
    """Give a listener whose ingest always fails, what remembers its refusals, and what counts."""
    metrics = Metrics(sources=["contoso"], types=(), dropping=(), topics=(), version="0")
    rejections = Rejections(lambda: [SOURCE], metrics, keep_bodies=False)
    return Listener(Listen(host="127.0.0.1", port=0), [SOURCE], Faulty(), metrics, rejections), rejections, metrics


async def test_a_fault_of_ours_is_answered_503() -> None:
    """What nobody expected costs the sender a retry: 503, told in the log and to nobody else."""
    listener, _, _ = faulty_listener()
    await listener.start()
    try:
        with capture_logs() as logged:
            answer = await _ask(listener.port, request(event(), signed(event())))
    finally:
        await listener.stop()
    assert (answer.status, answer.headers["retry-after"], answer.headers["server"]) == (503, "1", "relay")
    assert answer.fields == {"error": "the delivery could not be stored"}
    (line,) = logged
    assert (line["event"], line["detail"]) == ("delivery.unavailable", "unexpected: RuntimeError('a fault in line 17')")


async def test_a_fault_of_ours_in_a_refusal_is_answered_503_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while a refusal is told leaves no sender without an answer, and is told as every fault."""
    listener, rejections, _ = faulty_listener()
    monkeypatch.setattr(rejections, "wants", Mock(side_effect=RuntimeError("a fault in line 18")))
    await listener.start()
    try:
        with capture_logs() as logged:
            answer = await _ask(listener.port, request(event(), {}))
    finally:
        await listener.stop()
    assert (answer.status, answer.fields) == (503, {"error": "the delivery could not be stored"})
    (line,) = logged
    assert (line["event"], line["detail"]) == ("delivery.unavailable", "unexpected: RuntimeError('a fault in line 18')")


async def test_a_flood_of_refusals_is_told_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one reason and source ten lines a second are written, whatever a forger sends; each one is counted."""
    stopped = SimpleNamespace(monotonic=lambda: 5.0, perf_counter=time.perf_counter)
    monkeypatch.setattr("relay.server.listener.time", stopped)
    listener, _, metrics = faulty_listener()
    unsigned, unknown = request(event(), {}), request(event(), {}, "/elsewhere")
    faulty = request(event(), signed(event()))
    await listener.start()
    try:
        with capture_logs() as logged:
            await asyncio.to_thread(_ask_all, listener.port, [unsigned] * 15 + [unknown] * 3 + [faulty] * 15)
    finally:
        await listener.stop()
    why = Counter(line.get("reason") or line["cause"] for line in logged)
    assert why == {"missing_signature": 10, "unknown_path": 3, "spool_error": 10}
    page = metrics.render().decode()
    assert 'relay_deliveries_rejected_total{reason="missing_signature",source="contoso"} 15.0' in page
    assert 'relay_deliveries_unavailable_total{cause="spool_error"} 15.0' in page


def _ask_all(port: int, requests: list[bytes]) -> None:
    with Wire(port) as wire:
        for one in requests:
            assert wire.ask(one).status in (401, 404, 503)


async def _ask(port: int, message: bytes) -> Answer:
    def ask() -> Answer:
        with Wire(port) as wire:
            return wire.ask(message)

    return await asyncio.to_thread(ask)


def _unasked(path: str) -> AnswerOfOurs:
    raise AssertionError(path)


async def _unused(request: Request) -> AnswerOfOurs:
    raise AssertionError
