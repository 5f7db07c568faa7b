"""Ledger: the journals of one transaction, before they are known to be on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from relay.core.errors import Reason
from relay.core.model import Placed, Status
from relay.spool.file import rows
from relay.spool.values import Done, Flight, Journal, Journalled, Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw


class Ledger:
    """Settles records, journals flights, and finds the deliveries that thereby come to their end.

    `last_flight` and `released` (the room that was kept for settling what is settled now) are taken
    over by the store once the commit has returned.
    """

    def __init__(self, connection: apsw.Connection, last_flight: int) -> None:
        """Start behind `last_flight`, the number of the flight journalled last."""
        self._connection = connection
        self.last_flight = last_flight
        self.released = 0

    def write(self, journal: Journal, now: float) -> Journalled:
        """Write settlements, flights and verdicts; say which deliveries came to their end. Raises `apsw.Error`."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
            [(s.number, s.topic, s.partition, s.offset, s.reason, s.detail) for s in journal.settlements],
        )
        self._connection.executemany("DELETE FROM flights WHERE id = ?", [(id_,) for id_ in journal.landed])
        flights = tuple(self._record_flight(flight) for flight in journal.flights)
        done = [self._finish(verdict, now) for verdict in self._verdicts(journal.settlements)]
        done += [self._finish(self._weigh(verdict), now) for verdict in journal.verdicts]
        return Journalled(flights, tuple(one for one in done if one))

    def _record_flight(self, flight: Flight) -> Flight:
        self.last_flight += 1
        flight = replace(flight, id=self.last_flight)
        self._connection.execute(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                flight.id, flight.topic, flight.partition, flight.cluster, flight.producer_id,
                flight.producer_epoch, flight.base_sequence, flight.sent_at, msgspec.msgpack.encode(flight.items),
            ),
        )  # fmt: skip
        return flight

    def _verdicts(self, settlements: Sequence[Settlement]) -> Iterator[Verdict]:
        """Give the deliveries whose records are all settled now: dead when one of them is."""
        for settled in settlements:
            if len(settled.topics) == 1:
                status = Status.DEAD if settled.reason else Status.PUBLISHED
                yield Verdict(settled.number, status, settled.reason, settled.detail)
                continue
            records = self._records(settled.number)
            if records.keys() >= set(settled.topics):
                yield self._weigh(Verdict(settled.number, Status.PUBLISHED))

    def _weigh(self, verdict: Verdict) -> Verdict:
        """Let the records that are settled speak before the rules: dead if one is, else published."""
        records = self._records(verdict.number)
        for reason, detail in records.values():
            if reason:
                return Verdict(verdict.number, Status.DEAD, Reason(reason), detail)
        return Verdict(verdict.number, Status.PUBLISHED) if records else verdict

    def _records(self, number: int) -> dict[str, tuple[str | None, str | None]]:
        query = "SELECT topic, reason, detail FROM records WHERE number = ?"
        return {topic: (reason, detail) for topic, reason, detail in rows(self._connection, query, (number,))}

    def _places(self, number: int) -> tuple[Placed, ...]:
        query = 'SELECT topic, partition, "offset" FROM records WHERE number = ? AND reason IS NULL ORDER BY topic'
        return tuple(Placed(*row) for row in rows(self._connection, query, (number,)))

    def _finish(self, verdict: Verdict, now: float) -> Done | None:
        """Give a pending delivery its end; None when it had one already."""
        query = (
            "UPDATE deliveries SET status = ?, reason = ?, detail = ?, settled_at = ? "
            "WHERE number = ? AND status = 'pending' RETURNING owed"
        )
        for (owed,) in rows(
            self._connection, query, (verdict.status, verdict.reason, verdict.detail, now, verdict.number)
        ):
            self.released += owed
            return Done(verdict.number, verdict.status, verdict.reason, self._places(verdict.number))
        return None
