"""Deaf: a sender that sends requests ahead and never reads an answer."""

from __future__ import annotations

import select
import socket
from typing import Self

ENOUGH = 64 << 20  # bytes after which it is clear that the relay takes whatever comes
PATIENCE = 1.0  # seconds after which a full connection counts as full


class Deaf:
    """A connection with a small window. The context manager closes it."""

    def __init__(self, port: int) -> None:
        """Connect to a port of loopback."""
        self.taken = 0
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(0)

    def send(self, request: bytes) -> None:
        """Send a request again and again until no more is taken, or the relay hangs up, or it was `ENOUGH`."""
        batch = request * max(1, 65_536 // len(request))
        at = 0
        try:
            while self.taken < ENOUGH and select.select([], [self._socket], [], PATIENCE)[1]:
                sent = self._socket.send(batch[at:])
                at = (at + sent) % len(batch)
                self.taken += sent
        except ConnectionError:
            pass  # hung up: so nothing more is taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
