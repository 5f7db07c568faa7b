"""Writer: the store as it is opened, written, and opened anew when the disk has failed it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import apsw

from relay.core.errors import Unavailable
from relay.spool.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relay.spool.recent import RecentIds
    from relay.spool.values import Appended, Entry, Journal, Journalled


class Writer:
    """Holds the one store that writes the file. Used from the writer's thread alone, but for `store`."""

    def __init__(self, path: Path, *, max_size: int, remembered: int) -> None:
        """Open the file. Raises `Unavailable` when it cannot be used."""
        self._path, self._max_size, self._remembered = path, max_size, remembered
        self.store = self._open()

    def commit(
        self, entries: Sequence[Entry], journals: Sequence[Journal]
    ) -> tuple[list[Appended | Unavailable], list[Journalled]]:
        """Write all of it in one transaction, on a file opened anew when it has failed. Raises `Unavailable`."""
        if not self.store.sound:
            self.reopen()
        return self.store.commit(entries, journals, time.time())

    def reopen(self) -> None:
        """Open the file anew, as of the last commit that succeeded: failed pages are never tried again.

        Raises `Unavailable` while the disk refuses.
        """
        number, flight, recent = self.store.last_number, self.store.last_flight, self.store.memory.recent
        self.store.close()
        store = self._open()
        store.take_back(number, flight)
        store.close()
        store = self._open(recent)  # which knows nothing of what has just been taken back
        store.last_flight = flight  # a lane may still name an older one as landed, so none of them is given again
        self.store = store

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def _open(self, recent: RecentIds | None = None) -> Store:
        try:
            return Store(self._path, max_size=self._max_size, remembered=self._remembered, recent=recent)
        except (apsw.Error, OSError) as error:
            msg = f"the spool {self._path} cannot be opened: {error}"
            raise Unavailable(msg) from error
