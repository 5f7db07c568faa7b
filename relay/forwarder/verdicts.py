"""Verdicts: the ends that today's rules give what was pending at start, on disk and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import Status
from relay.spool import Done, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from relay.lane import Committed
    from relay.spool import Spool, Verdict


class Verdicts:
    """Brings verdicts to disk, and tells each end once, also that of a commit that was told as failed and stands."""

    def __init__(self, spool: Spool, on_done: Callable[[Sequence[Done], Mapping[int, Committed]], None]) -> None:
        """Write to `spool`; `on_done` hears of the ends, and of the deliveries by number."""
        self._spool = spool
        self._on_done = on_done
        self._given: dict[int, tuple[Verdict, Committed]] = {}

    async def give(self, verdicts: Iterable[tuple[Verdict, Committed]]) -> None:
        """Write these, and those that could not be written before. Raises `Unavailable`, and then keeps them."""
        self._given |= {verdict.number: (verdict, committed) for verdict, committed in verdicts}
        if not self._given:
            return
        journalled = await self._spool.write(Journal(verdicts=tuple(verdict for verdict, _ in self._given.values())))
        heard = {done.number for done in journalled.done}
        facts = [await self._spool.fact(number) for number in self._given if number not in heard]
        stood = [Done(fact.number, fact.status, fact.reason, fact.records) for fact in facts if fact]
        known = {number: committed for number, (_, committed) in self._given.items()}
        self._given.clear()
        self._on_done([*journalled.done, *(done for done in stood if done.status is not Status.PENDING)], known)
