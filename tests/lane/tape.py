"""A tape: the spool as a lane has it, and every journal that was given to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from relay.lane import Journals
    from relay.spool import Journal, Journalled


class Tape:
    """The spool, each journal kept; it refuses while `full`."""

    def __init__(self, spool: Journals) -> None:
        """Write to `spool`."""
        self._spool = spool
        self.rest = spool.rest
        self.full = False
        self.journals: list[Journal] = []

    async def write(self, journal: Journal) -> Journalled:
        """Keep the journal, and write it or refuse."""
        self.journals.append(journal)
        if self.full:
            raise Unavailable("the disk is full")
        return await self._spool.write(journal)
