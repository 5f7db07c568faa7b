"""Ledger: the journals of one transaction, before they are known to be on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from relay.core.model import Placed, Status
from relay.spool.draft import SIZE
from relay.spool.file import rows
from relay.spool.values import Done, Flight, Journal, Journalled, Settlement, Verdict
from relay.spool.words import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from relay.spool.values import Discard

INSERT_RECORD = (
    'INSERT OR REPLACE INTO records (number, topic, partition, "offset", reason, detail, flight) '
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_FLIGHT = (
    "INSERT OR REPLACE INTO flights (id, topic, partition, cluster, producer_id, producer_epoch, base_sequence, "
    "sent_at, items) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# A delivery has one end: only a pending one is given it.
FINISH = (
    "UPDATE deliveries SET status = ?, reason = ?, detail = ?, settled_at = ?, "
    "answered = coalesce(answered, ?), answered_at = coalesce(answered_at, ?) "
    "WHERE number = ? AND status = 'pending' RETURNING number, owed"
)
DISCARD = (
    "UPDATE deliveries SET status = 'dropped', withdrawn = 'discarded', settled_at = ?, because = ? "  # noqa: S608 - constant
    f"WHERE number = ? AND status = 'dead' RETURNING number, {SIZE}"
)
GIVE_UP = (
    "UPDATE deliveries SET status = 'dropped', withdrawn = 'discarded', settled_at = ?, because = ? "
    "WHERE number = ? AND status = 'pending' AND replay_of IS NOT NULL RETURNING number, owed"
)
# A mirror that is dropped is none: its dead letter is mirrored when there is a topic for that again.
UNTIE = (
    "UPDATE deliveries SET mirrored = NULL WHERE mirrored = ?1 "
    "AND number = (SELECT mirror_of FROM deliveries WHERE number = ?1)"
)
ANSWER = "UPDATE deliveries SET answered = ?, answered_at = ? WHERE number = ? AND answered IS NULL"
RECORDS = 'SELECT topic, partition, "offset", reason, detail FROM records WHERE number = ? ORDER BY topic'

_pack = msgspec.msgpack.Encoder().encode


class Ledger:
    """Settles records, journals flights, and finds the deliveries that thereby come to their end.

    `last_flight`, `released` (the room that was kept for settling what is settled now) and `discarded` (the
    bytes of dead letters that are given up) are taken over by the store once the commit has returned.
    """

    def __init__(self, connection: apsw.Connection, last_flight: int) -> None:
        """Start behind `last_flight`, the number of the flight journalled last."""
        self._connection = connection
        self.last_flight = last_flight
        self.released = self.discarded = 0

    def write(self, journal: Journal, now: float) -> Journalled:
        """Write settlements, flights and verdicts; say which deliveries came to their end. Raises `apsw.Error`."""
        if journal.settlements:
            self._connection.executemany(
                INSERT_RECORD,
                [(s.number, s.topic, s.partition, s.offset, s.reason, s.detail, s.flight) for s in journal.settlements],
            )
        if journal.landed:
            self._connection.executemany("DELETE FROM flights WHERE id = ?", [(id_,) for id_ in journal.landed])
        if journal.answers:
            self._connection.executemany(ANSWER, journal.answers)
        discarded = self._discard(journal.discards, now) if journal.discards else ()
        flights = tuple(self._record_flight(flight) for flight in journal.flights)
        ends = [*self._ends(journal.settlements), *(self._weigh(verdict) for verdict in journal.verdicts)]
        if dropped := [(verdict.number,) for verdict in journal.verdicts if verdict.status is Status.DROPPED]:
            self._connection.executemany(UNTIE, dropped)
        return Journalled(flights, (*self._finish(ends, now), *self._give_up(journal.discards, now)), discarded)

    def _record_flight(self, flight: Flight) -> Flight:
        if not flight.id:
            self.last_flight += 1
            flight = flight.numbered(self.last_flight)
        self._connection.execute(
            INSERT_FLIGHT,
            (
                flight.id, flight.topic, flight.partition, flight.cluster, flight.producer_id,
                flight.producer_epoch, flight.base_sequence, flight.sent_at, _pack(flight.items),
            ),
        )  # fmt: skip
        return flight

    def _discard(self, discards: Sequence[Discard], now: float) -> tuple[int, ...]:
        """Make dropped ones of dead letters; what is none is left as it is, and not told."""
        gone: list[Any] = self._connection.executemany(
            DISCARD, [(now, discard.because, discard.number) for discard in discards]
        ).fetchall()
        self.discarded += sum(size for _, size in gone)
        return tuple(number for number, _ in gone)

    def _give_up(self, discards: Sequence[Discard], now: float) -> tuple[Done, ...]:
        """Make dropped ones of replays that wait."""
        waiting = [(now, discard.because, discard.number) for discard in discards if discard.waits]
        gone: list[Any] = self._connection.executemany(GIVE_UP, waiting).fetchall() if waiting else []
        self.released += sum(owed for _, owed in gone)
        return tuple(Done(number, Status.DROPPED, None) for number, _ in gone)

    def _ends(self, settlements: Sequence[Settlement]) -> Iterator[tuple[Verdict, tuple[Placed, ...]]]:
        """Give the deliveries whose records are all settled now, dead when one of them is, and where these are."""
        for settled in settlements:
            number, answered = settled.number, (settled.answered, settled.answered_at)
            if len(settled.topics) > 1:
                verdict = Verdict(number, Status.PUBLISHED, None, None, *answered)
                if self._settled_topics(number) >= set(settled.topics):
                    yield self._weigh(verdict)
            elif settled.reason or settled.partition is None:
                yield Verdict(number, Status.DEAD, settled.reason, settled.detail, *answered), ()
            else:
                placed = Placed(settled.topic, settled.partition, settled.offset)
                yield Verdict(number, Status.PUBLISHED, None, None, *answered), (placed,)

    def _weigh(self, verdict: Verdict) -> tuple[Verdict, tuple[Placed, ...]]:
        """Let the records that are settled speak before the rules: dead if one is, else published."""
        records = rows(self._connection, RECORDS, (verdict.number,))
        placed = tuple(Placed(*place) for *place, reason, _ in records if not reason)
        for _, _, _, reason, detail in records:
            if reason:
                return replace(verdict, status=Status.DEAD, reason=reason_of(reason), detail=detail), placed
        if placed:
            verdict = replace(verdict, status=Status.PUBLISHED, reason=None, detail=None)
        return verdict, placed

    def _settled_topics(self, number: int) -> set[str]:
        return {topic for (topic,) in rows(self._connection, "SELECT topic FROM records WHERE number = ?", (number,))}

    def _finish(self, ends: Sequence[tuple[Verdict, tuple[Placed, ...]]], now: float) -> tuple[Done, ...]:
        """Give pending deliveries their ends; those that had one already are left out."""
        if not ends:
            return ()
        finished: list[Any] = self._connection.executemany(
            FINISH,
            [(v.status, v.reason, v.detail, now, v.answered, v.answered_at, v.number) for v, _ in ends],
        ).fetchall()
        owed: dict[int, int] = dict(finished)
        self.released += sum(owed.values())
        first = (end for end in ends if owed.pop(end[0].number, None) is not None)
        return tuple(Done(verdict.number, verdict.status, verdict.reason, placed) for verdict, placed in first)
