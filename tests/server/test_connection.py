"""The connection: what happens to a request when its client goes on, goes away, or does not read."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from relay.core.model import Receipt
from relay.ingest import Headers, Ingest
from relay.server.connection import Connection
from tests.core.samples import SOURCE
from tests.running import request, signed
from tests.server.listening import listening, signed_request
from tests.spool.samples import until

if TYPE_CHECKING:
    from relay.core.model import Source

LARGE = b"x" * 900_000
PATIENCE = 10.0


class Slow(Ingest):
    """An ingest that takes its time for one body, and answers all as stored."""

    def __init__(self) -> None:  # the parts of an ingest are never reached
        """Have no parts."""

    @property
    def is_full(self) -> bool:
        """Have room."""
        return False

    async def receive(self, source: Source, headers: Headers, body: bytes) -> Receipt:  # noqa: ARG002 - as its base
        """Answer, after a while when the body says so."""
        if body == b"slow":
            await asyncio.sleep(0.6)
        return Receipt(1, "id", "stored", ())


def pour(client: socket.socket, data: bytes) -> None:
    """Send the same again and again, until nobody takes it in any more."""
    with suppress(OSError):
        while True:
            client.sendall(data)


@pytest.mark.parametrize("ahead", [10, 33, 60])
async def test_what_is_sent_ahead_does_not_cut_off_what_is_under_way(ahead: int) -> None:
    """However many requests wait behind a slow one, all are answered, though it takes longer than a head may."""
    async with listening(Slow(), header_timeout=0.3) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"".join(signed_request(b"slow" if at == 16 % ahead else b"fast") for at in range(ahead)))
        answers = b""
        while answers.count(b"HTTP/1.1 202") < ahead:
            received = await reader.read(65_536)
            assert received, f"cut off after {answers.count(b'HTTP/1.1 202')} answers"
            answers += received
        writer.close()


async def test_a_body_whose_client_is_gone_is_let_go() -> None:
    """A connection that is reset in the middle of a body holds neither memory nor a stop."""
    async with listening(Slow(), body_timeout=600.0) as listener:
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", listener.port))
            await asyncio.to_thread(client.sendall, signed_request(LARGE)[:-1])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            client.close()
        await until(lambda: listener.in_flight == 0)
        assert listener._bodies._held == 0


async def test_who_never_reads_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes no answer in keeps no connection, however long it keeps its socket."""
    monkeypatch.setattr("relay.server.connection.READING_TIME", 0.3)
    async with listening(Slow()) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        client.connect(("127.0.0.1", listener.port))
        try:
            await asyncio.to_thread(pour, client, b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
            server = listener._server
            assert server
            await until(lambda: not server.connections)
        finally:
            client.close()


async def test_what_follows_a_head_for_another_protocol_is_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a request with Upgrade, or one before garbage, is served, what follows it is left where it is."""
    taken: list[int] = []
    received = Connection.data_received

    def counted(self: Connection, data: bytes) -> None:
        if not self._deaf:
            taken.append(len(data))
        received(self, data)

    monkeypatch.setattr(Connection, "data_received", counted)
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    headers = {**signed(b"slow", SOURCE.keys[0].secret.decode()), **upgrade}
    async with listening(Slow()) as listener:
        with closing(socket.create_connection(("127.0.0.1", listener.port))) as client:
            client.settimeout(5)
            await asyncio.to_thread(client.sendall, request(b"slow", headers, SOURCE.path))
            await until(lambda: listener.in_flight == 1)
            await asyncio.to_thread(pour, client, b"a" * 65_536)
            assert len(taken) == 1


async def test_who_is_accepted_in_the_turn_of_the_stop_is_answered() -> None:
    """A connection that the loop has accepted, and not begun to serve, when it closes what listens."""
    async with listening(Slow()) as listener:
        with closing(socket.create_connection(("127.0.0.1", listener.port))) as client:
            client.sendall(signed_request(b"late"))
            client.settimeout(PATIENCE)
            await asyncio.sleep(0)  # in this turn it is accepted, behind this test
            await asyncio.sleep(0)  # in the next one it would be served, behind this test
            await listener.drain(PATIENCE)
            assert (await asyncio.to_thread(client.recv, 65_536)).startswith(b"HTTP/1.1 202 ")
