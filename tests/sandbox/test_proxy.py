"""The proxy: passes everything on, and breaks what it is told to break, until it is healed."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from relay.sandbox.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
SILENCE = 0.3  # long enough for what would come at once


class Echo:
    """A server that answers with what it got, and keeps it."""

    def __init__(self) -> None:
        """Listen; every connection has a thread."""
        self.got = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    self.got += data
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Give a server on loopback."""
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """Give a proxy to the server."""
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)


def _ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return _read(connection, len(text))


def _read(connection: socket.socket, size: int) -> bytes:
    answer = b""
    while len(answer) < size and (data := connection.recv(1 << 16)):
        answer += data
    return answer


def test_everything_passes(proxy: Proxy) -> None:
    """Bytes arrive as they were sent, in both directions, however many."""
    whole = bytes(range(256)) * 20_000
    with _connect(proxy) as connection:
        threading.Thread(target=connection.sendall, args=(whole,), daemon=True).start()
        assert _read(connection, len(whole)) == whole


def test_a_cut_resets_and_is_healed(proxy: Proxy) -> None:
    """Connections are reset, new ones too; after healing new ones work."""
    with _connect(proxy) as connection:
        assert _ask(connection, b"a") == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionError), _connect(proxy) as connection:  # noqa: PT012 - reset at whichever step
        connection.sendall(b"b")
        if not connection.recv(1):
            raise ConnectionResetError
    proxy.heal()
    with _connect(proxy) as connection:
        assert _ask(connection, b"c") == b"c"


def test_a_frozen_proxy_is_a_black_hole(proxy: Proxy, echo: Echo) -> None:
    """Nothing arrives and nothing is closed; healed, what was held back arrives."""
    with _connect(proxy) as connection:
        assert _ask(connection, b"a") == b"a"
        proxy.freeze()
        connection.sendall(b"b")
        connection.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert echo.got == b"a"
        proxy.heal()
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b"b"


def test_a_deaf_client_is_obeyed(proxy: Proxy, echo: Echo) -> None:
    """Requests arrive, answers do not; cut then, the client never hears what was done."""
    with _connect(proxy) as connection:
        proxy.deafen()
        connection.sendall(b"a")
        deadline = time.monotonic() + PATIENCE
        while echo.got != b"a":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.cut()
        connection.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_slow_proxy_delays_both_ways(proxy: Proxy) -> None:
    """Request and answer each come late by what was asked for."""
    with _connect(proxy) as connection:
        _ask(connection, b"a")
        proxy.slow(0.1)
        started = time.monotonic()
        assert _ask(connection, b"b") == b"b"
        assert time.monotonic() - started >= 0.2


def test_a_server_that_is_away_ends_the_connection() -> None:
    """Without a server behind it the client is reset, and a later one gets through once there is one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Proxy("127.0.0.1", port) as proxy:
        with pytest.raises(ConnectionResetError), _connect(proxy) as connection:  # maybe before it is told as made
            connection.recv(1)
        with socket.create_server(("127.0.0.1", port)) as server, _connect(proxy) as connection:
            connection.sendall(b"a")
            taken, _ = server.accept()
            with taken:
                assert taken.recv(1) == b"a"
