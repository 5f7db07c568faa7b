"""A process that times answers, one request at a time, kinds in random order, and says as JSON what it measured.

A kind is a list of requests that are alike in what matters; which of them is sent is random as well.
"""

from __future__ import annotations

import base64
import json
import random
import socket
import sys
import time

from tests.running import PATH, event, request, signed
from tests.wire import PATIENCE

UNKNOWN = "/webhooks/c0ntoso"
NETWORK = b"2001:db8:ffff"
NETWORKS = 3000
ALIKE = 32  # requests of one kind
LARGE = 1 << 18  # bytes of a body that is work to check


def wrong_at(place: int, body: bytes, chance: random.Random) -> dict[str, str]:
    """Sign a body with one byte of the signature wrong."""
    headers = signed(body)
    digest = bytearray(base64.b64decode(headers["Signature"]))
    digest[place] ^= chance.randrange(1, 256)
    return {**headers, "X-Forwarded-For": f"{NETWORK.decode()}::1", "Signature": base64.b64encode(digest).decode()}


def from_anywhere(data: bytes, chance: random.Random) -> bytes:
    """Let a request come from another network, by the word of a proxy: what fails too often in one is throttled."""
    return data.replace(NETWORK, f"2001:db8:{chance.randrange(NETWORKS):04x}".encode())


def kinds(chance: random.Random) -> dict[str, list[bytes]]:
    """Give the requests of each kind."""
    small, large = event(event_id="timed"), event("x" * LARGE, event_id="timed")

    def requests(body: bytes, place: int, target: str = PATH) -> list[bytes]:
        return [request(body, wrong_at(place, body, chance), target) for _ in range(ALIKE)]

    return {
        "first": requests(small, 0),
        "first again": requests(small, 0),
        "last": requests(small, -1),
        "small": requests(small, 15),
        "small, unknown": requests(small, 15, UNKNOWN),
        "large": requests(large, 15),
        "large, unknown": requests(large, 15, UNKNOWN),
    }


class Stopwatch:
    """One connection after another, as long as the relay keeps each."""

    def __init__(self, port: int) -> None:
        """Connect when there is something to send."""
        self._port = port
        self._socket: socket.socket | None = None

    def time(self, data: bytes) -> int:
        """Send a request and read its answer; the nanoseconds between the two."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter_ns()
        self._socket.sendall(data)
        answer = self._socket.recv(65_536)
        took = time.perf_counter_ns() - started
        if not answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 404 ")):
            sys.exit(f"answered {answer!r}")
        if b"connection: close" in answer.lower():
            self._socket.close()
            self._socket = None
        return took


def measure(port: int, names: list[str], rounds: int) -> dict[str, list[int]]:
    """Time every kind once in each round, in an order of its own."""
    chance = random.Random(1)
    requests = kinds(chance)
    stopwatch = Stopwatch(port)
    measured: dict[str, list[int]] = {name: [] for name in names}
    for warm in [True] * (rounds // 20) + [False] * rounds:
        for name in chance.sample(names, len(names)):
            took = stopwatch.time(from_anywhere(chance.choice(requests[name]), chance))
            if not warm:
                measured[name].append(took)
    return measured


if __name__ == "__main__":
    port, rounds, *names = sys.argv[1:]
    json.dump(measure(int(port), names, int(rounds)), sys.stdout)
