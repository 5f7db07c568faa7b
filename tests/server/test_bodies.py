"""Bodies: what is being read is bounded, one by one and all together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from relay.core.errors import Refusal, Rejected
from relay.server.bodies import Bodies

if TYPE_CHECKING:
    from aiohttp import StreamReader


class Sender:
    """A body that arrives piece by piece, as far as `Bodies` can see it."""

    def __init__(self) -> None:
        """Have sent nothing yet."""
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def is_eof(self) -> bool:
        """Have more to come, as far as is known."""
        return False

    def send(self, piece: bytes) -> None:
        """Send a piece; an empty one is the end."""
        self._pieces.put_nowait(piece)

    async def readany(self) -> bytes:
        """Give the next piece."""
        return await self._pieces.get()


async def test_the_largest_gives_way_when_all_together_are_too_much() -> None:
    """Past the budget the body that holds most is given up; the others are read to their end."""
    bodies = Bodies(max_body=100, timeout=60, budget=150)
    senders = [Sender() for _ in range(3)]
    readings = [asyncio.ensure_future(bodies.read(cast("StreamReader", sender))) for sender in senders]
    for sender, size in zip(senders, (40, 80, 40), strict=True):
        sender.send(b"x" * size)
    with pytest.raises(Rejected) as refused:
        await readings[1]
    assert refused.value.refusal is Refusal.BODY_TOO_SLOW
    for sender in (senders[0], senders[2]):
        sender.send(b"y")
        sender.send(b"")
    assert [len(await reading) for reading in (readings[0], readings[2])] == [41, 41]


async def test_who_was_given_up_is_not_chosen_again() -> None:
    """Between the choice of a body and its reader's hearing of it, others go over the budget, and nobody else fails."""
    bodies = Bodies(max_body=100, timeout=60, budget=150)
    senders = [Sender() for _ in range(4)]
    readings = [asyncio.ensure_future(bodies.read(cast("StreamReader", sender))) for sender in senders]
    await asyncio.sleep(0)
    for sender, size in zip(senders[:3], (40, 80, 40), strict=True):
        sender.send(b"x" * size)
    await asyncio.sleep(0)  # the choice is made in this turn of the loop, and heard of in the one after the next
    senders[3].send(b"x" * 20)
    with pytest.raises(Rejected):
        await readings[1]
    for sender in (senders[0], senders[2], senders[3]):
        sender.send(b"")
    assert [len(await readings[at]) for at in (0, 2, 3)] == [40, 40, 20]


async def test_what_was_read_counts_no_more() -> None:
    """The budget is for bodies under way: any number of them may follow one another."""
    bodies = Bodies(max_body=100, timeout=60, budget=100)
    for _ in range(5):
        sender = Sender()
        sender.send(b"x" * 100)
        sender.send(b"")
        assert await bodies.read(cast("StreamReader", sender)) == b"x" * 100
