"""Mirrors: those of one transaction, each of a dead letter that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import Status
from relay.spool.file import rows
from relay.spool.values import Appended

if TYPE_CHECKING:
    import apsw

    from relay.core.model import Mirror

STATE = "SELECT status, mirrored FROM deliveries WHERE number = ?"
MARK = "UPDATE deliveries SET mirror_of = ?, target = ?, because = ? WHERE number = ?"
TIE = "UPDATE deliveries SET mirrored = ? WHERE number = ?"


class Mirrors:
    """Takes one mirror of a dead letter, and ties the two together in the transaction that has it."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Start with none."""
        self._connection = connection
        self._taken: dict[int, tuple[int, Mirror]] = {}  # by the dead letter

    def refusal(self, mirror: Mirror) -> Appended | None:
        """Say that a delivery is mirrored already, or is no dead letter any more; else None."""
        for status, mirrored in rows(self._connection, STATE, (mirror.of,)):
            if status == Status.DEAD and mirrored is None and mirror.of not in self._taken:
                return None
        return Appended(mirror.of, Status.DEAD, None, None, duplicate=True)

    def take(self, number: int, mirror: Mirror) -> None:
        """Take a mirror under its number."""
        self._taken[mirror.of] = number, mirror

    def write(self) -> None:
        """Mark the rows, which have been written, and their dead letters. Raises `apsw.Error`."""
        if not self._taken:
            return
        taken = self._taken.values()
        self._connection.executemany(
            MARK, [(mirror.of, mirror.topic, f"{mirror.reason}: {mirror.detail}", number) for number, mirror in taken]
        )
        self._connection.executemany(TIE, [(number, mirror.of) for number, mirror in taken])
