"""Wire: one raw connection to the relay, for requests that no client library would send."""

from __future__ import annotations

import json
import socket
from typing import NamedTuple, Self

import msgspec

from relay.core.model import Placed

PATIENCE = 20.0


class Answer(NamedTuple):
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, object]:
        """The body, which is a JSON object."""
        fields = json.loads(self.body)
        assert isinstance(fields, dict)
        return fields

    @property
    def records(self) -> list[Placed]:
        """The records of a receipt."""
        return msgspec.convert(self.fields["records"], list[Placed])


class Wire:
    """A TCP connection to loopback; every wait is bounded. A context manager closes it."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more is sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, *, bodiless: bool = False) -> Answer:
        """Read one answer; `bodiless` for that to HEAD. Raises `ConnectionError` when the relay hangs up before."""
        head = self._take(self._find(b"\r\n\r\n") + 4).decode("latin-1")
        status, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        return Answer(int(status.split()[1]), headers, self._take(length))

    def ask(self, data: bytes) -> Answer:
        """Send bytes and read the answer."""
        self.send(data)
        return self.answer()

    def rest(self) -> bytes:
        """Read until the relay closes the connection."""
        try:
            while chunk := self._socket.recv(65_536):
                self._received += chunk
        except ConnectionResetError:
            pass  # closed with bytes of ours unread: closed all the same
        return self._take(len(self._received))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, mark: bytes) -> int:
        while (place := self._received.find(mark)) < 0:
            self._receive()
        return place

    def _take(self, length: int) -> bytes:
        while len(self._received) < length:
            self._receive()
        taken, self._received = self._received[:length], self._received[length:]
        return taken

    def _receive(self) -> None:
        chunk = self._socket.recv(65_536)
        if not chunk:
            raise ConnectionError("the relay closed the connection")
        self._received += chunk
