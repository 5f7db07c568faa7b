"""Exchange: raw bytes to a port, and every answer that they get."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tests.running import PATH
from tests.wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

# Answered 405, as nothing else here is: who sees that knows that relay and sender agree where it began.
PROBE = f"DELETE {PATH} HTTP/1.1\r\nHost: relay\r\n\r\n".encode()
PROBED = 405


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
    """Send pieces, which may be endless, until the relay hangs up; give the answers.

    What is answered stays to be read: the relay reads on a while, so that a sender sees why.
    """
    answers: list[Answer] = []
    with Wire(port) as wire, suppress(ConnectionError):
        with suppress(ConnectionError):
            for piece in pieces:
                wire.send(piece)
        while True:
            answers.append(wire.answer())
    return answers
