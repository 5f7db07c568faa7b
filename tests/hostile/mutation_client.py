"""A process that sends mutations of signed requests, and says as JSON what came of them.

Requests that are surely framed go many at a time over a few connections; each of the others has one of its own.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.hostile.mutations import Mutation, Original, mutations
from tests.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ORIGINALS = 4
LANES = 4
AHEAD = 64  # requests sent ahead on one connection
AT_A_TIME = LANES * AHEAD * 40
_ANSWER = re.compile(
    rb"HTTP/1\.1 ([0-9]{3})[^\r]*\r\n(?:[^\r]*\r\n)*?Content-Length: ([0-9]+)\r\n(?:[^\r]*\r\n)*?\r\n", re.IGNORECASE
)


class Result(Counter[str]):
    """How many answers there were of each status, 0 for a connection that was closed instead, and what was wrong."""

    def __init__(self) -> None:
        """Count from nothing."""
        super().__init__()
        self.wrong: list[str] = []

    def add(self, mutation: Mutation, status: int, body: bytes = b"") -> None:
        """Hold an answer against what the contract says of the mutation."""
        self[str(status)] += 1
        if status == 202:
            right = mutation.may_pass and b'"duplicate"' in body
        else:
            right = not mutation.must_pass and (status == 0 or 400 <= status < 500)
            right &= status != 429 or b"signature is missing or wrong" in body
        if not right:
            self.wrong.append(f"{status} {body!r} for {mutation}")


class Lane:
    """A connection over which many requests go at a time, made anew when the relay closes it."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._port = port
        self._sent: Sequence[Mutation] = ()
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)

    def send(self, batch: Sequence[Mutation]) -> None:
        """Send requests."""
        self._sent = batch
        with suppress(ConnectionError):
            self._socket.sendall(b"".join(mutation.data for mutation in batch))

    def receive(self, result: Result) -> None:
        """Read their answers. Those left when the relay hangs up are sent again, but for one that got it to do so."""
        while self._sent:
            answered = 0
            for status, body in self._answers(len(self._sent)):
                result.add(self._sent[answered], status, body)
                answered += 1
            if not answered:
                result.add(self._sent[0], 0)
                answered = 1
            rest = self._sent[answered:]
            if rest:
                self._socket.close()
                self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self.send(rest)

    def _answers(self, number: int) -> Iterator[tuple[int, bytes]]:
        received, at = b"", 0
        while number:
            if (head := _ANSWER.match(received, at)) and head.end() + int(head[2]) <= len(received):
                at = head.end() + int(head[2])
                number -= 1
                yield int(head[1]), received[head.end() : at]
                continue
            chunk = b""
            with suppress(ConnectionError):
                chunk = self._socket.recv(262_144)
            if not chunk:
                return
            received, at = received[at:] + chunk, 0


class Alone:
    """Requests with a connection each, for nobody knows where they end: behind each of them its sender is done."""

    def __init__(self, port: int, batch: Sequence[Mutation]) -> None:
        """Send them."""
        self._sent = [(mutation, socket.create_connection(("127.0.0.1", port), PATIENCE)) for mutation in batch]
        for mutation, each in self._sent:
            with suppress(OSError):
                each.sendall(mutation.data)
                each.shutdown(socket.SHUT_WR)

    def receive(self, result: Result) -> None:
        """Read until the relay hangs up; the first answer counts, as the others are not to the mutation."""
        for mutation, each in self._sent:
            received = b""
            with suppress(ConnectionError), each:
                while chunk := each.recv(65_536):
                    received += chunk
            head = _ANSWER.match(received)
            if head:
                result.add(mutation, int(head[1]), received[head.end() : head.end() + int(head[2])])
            else:
                result.add(mutation, 0)


def send(port: int, seed: int, number: int) -> Result:
    """Send the originals, and then so many mutations of them."""
    result = Result()
    originals = [Original.number(each) for each in range(ORIGINALS)]
    lanes = [Lane(port) for _ in range(LANES)]
    lanes[0].send([Mutation(each.written(), may_pass=True, must_pass=True) for each in originals])
    lanes[0].receive(Result())
    for start in range(0, number, AT_A_TIME):
        batch = mutations(seed + start, min(AT_A_TIME, number - start), originals)
        alone = Alone(port, [each for each in batch if not each.framed])
        framed = [each for each in batch if each.framed]
        for first in range(0, len(framed), LANES * AHEAD):
            for at, lane in enumerate(lanes):
                lane.send(framed[first + at * AHEAD : first + (at + 1) * AHEAD])
            for lane in lanes:
                lane.receive(result)
        alone.receive(result)
    return result


if __name__ == "__main__":
    done = send(*map(int, sys.argv[1:]))
    json.dump({"answers": done, "wrong": done.wrong[:10]}, sys.stdout)
