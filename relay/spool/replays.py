"""Replays: those of one transaction, and what becomes of the dead letters that they repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.errors import Unavailable
from relay.core.model import Status, Withdrawal
from relay.spool.file import rows
from relay.spool.values import Appended
from relay.spool.words import status_of

if TYPE_CHECKING:
    import apsw

    from relay.core.model import Replay

EARLIER = "SELECT number, status FROM deliveries WHERE replay_of = ? ORDER BY number DESC LIMIT 1"
WITHDRAW = (
    "UPDATE deliveries SET status = 'dropped', withdrawn = 'replayed', settled_at = ? "
    "WHERE number = ? AND status = 'dead'"
)
MARK = "UPDATE deliveries SET replay_of = ?, target = ? WHERE number = ?"
# What of a dead letter is in Kafka already is not published again, unless a topic is given.
KEEP = (
    'INSERT INTO records (number, topic, partition, "offset", flight) '
    'SELECT ?, topic, partition, "offset", flight FROM records WHERE number = ? AND reason IS NULL'
)


class Replays:
    """Decides which replays are taken, and marks them once the rows of their transaction are there.

    A dead letter leaves the dead ones in the transaction that has its replay, so neither stands without the other,
    and a second replay finds no dead letter. `freed` has the numbers of those that left.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Start with none."""
        self._connection = connection
        self._taken: dict[int, tuple[int, Replay, bool]] = {}  # by what is replayed; was it dead?

    @property
    def freed(self) -> list[int]:
        """The dead letters that are dropped as replayed."""
        return [replay.of for _, replay, dead in self._taken.values() if dead]

    def refusal(self, replay: Replay, *, again: bool, of_dead: bool) -> Appended | Unavailable | None:
        """Say why a replay is not taken: what it would repeat is a replay already, or cannot be replayed; else None."""
        if taken := self._taken.get(replay.of):
            return Appended(taken[0], Status.PENDING, None, None, duplicate=True)
        status, withdrawn = self._state(replay.of)
        if status in {None, Status.PENDING}:
            return Unavailable(f"delivery {replay.of} is {status or 'not kept'}, and cannot be replayed")
        if status is Status.DEAD or (again and not of_dead):
            return None
        for number, earlier in rows(self._connection, EARLIER, (replay.of,)):
            return Appended(number, status_of(earlier), None, None, duplicate=True)
        if withdrawn == Withdrawal.REPLAYED:  # and the replay has left
            return Appended(replay.of, Status.DROPPED, None, None, duplicate=True)
        # Its plan leaves out what is in Kafka already, which goes along with a dead letter only.
        return Unavailable(f"delivery {replay.of} is no dead letter any more") if of_dead else None

    def take(self, number: int, replay: Replay) -> bool:
        """Take a replay under its number; True when it withdraws a dead letter."""
        dead = self._state(replay.of)[0] is Status.DEAD
        self._taken[replay.of] = number, replay, dead
        return dead

    def write(self, now: float) -> None:
        """Mark the rows, which have been written, and drop the dead letters. Raises `apsw.Error`."""
        if not self._taken:
            return
        taken = self._taken.values()
        self._connection.executemany(MARK, [(replay.of, replay.topic, number) for number, replay, _ in taken])
        kept = [(number, replay.of) for number, replay, dead in taken if dead and not replay.topic]
        self._connection.executemany(KEEP, kept)
        self._connection.executemany(WITHDRAW, [(now, number) for number in self.freed])

    def _state(self, number: int) -> tuple[Status | None, str | None]:
        found = rows(self._connection, "SELECT status, withdrawn FROM deliveries WHERE number = ?", (number,))
        return (status_of(found[0][0]), found[0][1]) if found else (None, None)
