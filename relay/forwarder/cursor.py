"""Cursor: a lane's place in the order of acceptance."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from relay.core.errors import Unavailable
from relay.lane import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from relay.forwarder.window import Window
    from relay.lane import Committed


class Cursor:
    """A lane's place: inside the window it reads there, older it reads pages of the spool.

    *Behind* is only the word for a place below the window. `read` gives the pending deliveries in
    (after, until] as the rules have them, a bounded piece at a time, and where that piece ends.
    """

    def __init__(
        self,
        topic: str,
        window: Window,
        read: Callable[[int, int], Awaitable[tuple[Sequence[Committed], int]]],
        *,
        position: int,
        behind: bool,
    ) -> None:
        """Stand after delivery `position`; `behind` when records may be waiting below the window."""
        self._topic = topic
        self._window = window
        self._read = read
        self._position = position
        self._behind = behind
        self._queue: deque[Item] = deque()  # in the window
        self._page: deque[Item] = deque()  # read from the spool
        self._page_end = position
        self._arrival = asyncio.Event()

    @property
    def behind(self) -> bool:
        """Tell whether the next records have to be read from the spool."""
        return self._behind

    @property
    def idle(self) -> bool:
        """Tell whether nothing waits here."""
        return not (self._queue or self._page or self._behind)

    @property
    def first(self) -> Item | None:
        """The record that waits longest in memory; those that wait on disk only are not known."""
        return next(iter(self._page or self._queue), None)

    @property
    def waiting(self) -> Iterable[Item]:
        """The records that wait in the window, in order; while behind, not the next ones."""
        return self._queue

    def push(self, item: Item) -> None:
        """Hear of a record that came into the window."""
        self._queue.append(item)
        self._arrival.set()

    def miss(self, committed: Committed) -> None:
        """Hear of a delivery that left the window; fall behind if it was not taken yet."""
        if self._queue and self._queue[0].committed is committed:
            self._queue.popleft()
            self._behind = True

    async def peek(self, max_bytes: int) -> Sequence[Item]:
        """Give the next records in order, without moving; none when there are none.

        At most about `max_bytes`, but at least one. Raises `Unavailable`.
        """
        await self._find_page()
        items = self._page or self._queue
        if not items and not self._behind:
            self._position = self._window.last
        room = [max_bytes]
        return list(takewhile(lambda item: _fits(item, room), items)) or list(islice(items, 1))

    @asynccontextmanager
    async def reading_on(self) -> AsyncIterator[None]:
        """While behind, read the next records meanwhile, and wait for that at the end.

        `Unavailable` is left to `peek`, which tries again; other faults are raised. When the block raises, the read is
        given up: the next `peek` would read the same beside it.
        """
        reading = asyncio.ensure_future(self._try_to_find_page())
        try:
            yield
            await reading
        finally:
            reading.cancel()

    def advance(self, number: int) -> None:
        """Move past a delivery: what was given up to it is journalled."""
        self._position = number
        for queue in (self._page, self._queue):
            while queue and queue[0].number <= number:
                queue.popleft()
        if not self._page:
            self._position = max(self._position, self._page_end)

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a value, not an error
        """Wait for a record; False when none came in time."""
        self._arrival.clear()
        if not self.idle:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._arrival.wait()
        except TimeoutError:
            return False
        return True

    async def _try_to_find_page(self) -> None:
        with suppress(Unavailable):
            await self._find_page()

    async def _find_page(self) -> None:
        """Read until a record of this topic is found or the window is reached."""
        while self._behind and not self._page:
            await self._turn_page()

    async def _turn_page(self) -> None:
        """Read one piece, or find that the window is reached."""
        until = self._window.first - 1
        if self._position >= until:
            self._behind = False
            return
        page, end = await self._read(self._position, until)
        self._page_end = end
        for committed in page:
            self._page.extend(Item(committed, record) for record in committed.records if record.topic == self._topic)
        if not self._page:
            self._position = end


def _fits(item: Item, room: list[int]) -> bool:
    room[0] -= len(item.record.value) + len(item.record.key)
    return room[0] >= 0
