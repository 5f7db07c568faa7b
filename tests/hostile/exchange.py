"""Exchange: raw bytes to a port, at once, without an end or slowly, and every answer that they get."""

from __future__ import annotations

import asyncio
import itertools
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.running import PATH
from tests.wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

# Answered 405, as nothing else here is: who sees that knows that relay and sender agree where it began.
PROBE = f"DELETE {PATH} HTTP/1.1\r\nHost: relay\r\n\r\n".encode()
PROBED = 405
INTERVAL = 0.1  # seconds between two bytes of a slow sender
_ANSWER = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


def exchange(port: int, data: bytes) -> list[Answer]:
    """Send bytes and a probe behind them; give all answers until that of the probe, or until the relay hangs up."""
    answers: list[Answer] = []
    with Wire(port) as wire, suppress(ConnectionError):
        with suppress(ConnectionError):  # hung up before all was sent: there may be an answer all the same
            wire.send(data + PROBE)
        while not answers or answers[-1].status != PROBED:
            answers.append(wire.answer())
    return answers


def pour(port: int, pieces: Iterable[bytes]) -> list[Answer]:
    """Send pieces, which may be endless, until the relay hangs up; give the answers that can still be read."""
    answers: list[Answer] = []
    with Wire(port) as wire, suppress(ConnectionError):
        with suppress(ConnectionError):
            for piece in pieces:
                wire.send(piece)
        while True:
            answers.append(wire.answer())
    return answers


def trickle(port: int, start: bytes, repeated: bytes, senders: int) -> list[tuple[float, list[Answer]]]:
    """Send a start and then, for ever, a byte at a time; for each sender, when the relay hung up and its answers."""

    async def sender() -> tuple[float, list[Answer]]:
        began, received = asyncio.get_running_loop().time(), bytearray()  # the relay's time begins later, if anything
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def receive() -> None:
            with suppress(ConnectionError):
                while chunk := await reader.read(65_536):
                    received.extend(chunk)

        end = asyncio.create_task(receive())
        writer.write(start)
        for byte in itertools.cycle(repeated):
            if (await asyncio.wait([end], timeout=INTERVAL))[0]:
                break
            writer.write(bytes([byte]))
        writer.close()
        return asyncio.get_running_loop().time() - began, answers_in(bytes(received))

    async def all_senders() -> list[tuple[float, list[Answer]]]:
        return await asyncio.gather(*(sender() for _ in range(senders)))

    return asyncio.run(all_senders())


def answers_in(received: bytes) -> list[Answer]:
    """Read the whole answers in what was received, one after another."""
    answers: list[Answer] = []
    at = 0
    while head := _ANSWER.match(received, at):
        lines = (line.partition(": ") for line in head[2].decode("latin-1").split("\r\n"))
        headers = {name.lower(): value for name, _, value in lines}
        at = head.end() + int(headers.get("content-length", "0"))
        answers.append(Answer(int(head[1]), headers, received[head.end() : at]))
    return answers
