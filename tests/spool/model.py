"""Model: the spool as a plain list of what was accepted, in the order of acceptance."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from relay.core.errors import Cause, Reason, Unavailable
from relay.core.model import Placed, Status
from relay.spool import Appended, Done, Entry, Fact, Flight, Journal, Journalled, Settlement, Stored, Verdict
from relay.spool.file import PAGE_SIZE, connect_reader, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FINAL = (Status.PUBLISHED, Status.DROPPED)  # what the sweep may take


@dataclass
class Line:
    """One accepted delivery, and what became of it. `stripped` ones have no body any more, `swept` ones no row."""

    number: int
    entry: Entry
    identity: tuple[str, ...]
    status: Status
    reason: Reason | None
    detail: str | None
    settled_at: float
    records: dict[str, Settlement] = field(default_factory=dict)
    swept: bool = False
    stripped: bool = False

    @property
    def body(self) -> bytes | None:
        """Its body, None once that has left to make room."""
        return None if self.stripped else self.entry.delivery.body

    @property
    def placed(self) -> tuple[Placed, ...]:
        """Where its records are, by topic."""
        found = sorted(self.records.items())
        return tuple(Placed(topic, s.partition, s.offset) for topic, s in found if s.partition is not None)


class View(NamedTuple):
    """What can be seen of a spool from outside: in the model, or in a file."""

    deliveries: list[tuple[int, str, str, bytes | None]]
    records: list[tuple[int, str, int | None, int | None]]
    flights: list[tuple[int, str, int]]
    ids: list[int]


@dataclass
class Model:
    """What is accepted, in flight, and remembered: `ids` are the numbers whose ids are."""

    remembered: int
    lines: list[Line] = field(default_factory=list)
    flights: dict[int, Flight] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)

    @property
    def kept(self) -> list[Line]:
        """The deliveries that were not swept."""
        return [line for line in self.lines if not line.swept]

    @property
    def pending(self) -> list[Line]:
        """The deliveries that are not settled."""
        return [line for line in self.lines if line.status is Status.PENDING]

    def view(self) -> View:
        """Show what a file must hold."""
        return View(
            [(line.number, line.entry.event_id, line.status, line.body) for line in self.kept],
            [
                (line.number, topic, s.partition, s.offset)
                for line in self.kept
                for topic, s in sorted(line.records.items())
            ],
            [(flight.id, flight.topic, flight.partition) for flight in self.flights.values()],
            sorted(self.ids),
        )

    def stored(self, line: Line) -> Stored:
        """Give what a read of a delivery must give."""
        return Stored(line.number, line.entry.delivery, tuple(sorted(line.records)))

    def fact(self, line: Line) -> tuple[object, ...]:
        """Give what is to be known of a delivery's fate."""
        return line.number, line.entry.event_id, line.status, line.reason, line.placed

    def append(self, entries: Sequence[Entry], answers: Sequence[Appended | Unavailable], now: float) -> list[Cause]:
        """Take the entries of one commit; say why some were not taken. Raises AssertionError for a wrong answer."""
        ids, last, refused = set(self.ids), len(self.lines), []
        for entry, answer in zip(entries, answers, strict=True):
            identity: tuple[str, ...] = (entry.delivery.source, entry.dedupe_id)
            kept, first = entry, self._first(identity)
            if first and first.entry.fingerprint != entry.fingerprint:
                identity = (*identity, entry.fingerprint.hex())
                kept = msgspec.structs.replace(entry, status=Status.DEAD, reason=Reason.ID_CONFLICT)
                first = self._first(identity)
            if first:
                expected = (first.status, first.reason, first.detail)
                if first.swept:
                    expected = (Status.PUBLISHED, None, None)
                assert answer == Appended(first.number, *expected, duplicate=True)
            elif isinstance(answer, Unavailable):
                refused.append(answer.cause)
            else:
                number = len(self.lines) + 1
                assert answer == Appended(number, kept.status, kept.reason, answer.detail)
                self.lines.append(Line(number, kept, identity, kept.status, kept.reason, answer.detail, now))
                self.ids.add(number)
        if len(self.lines) > last:
            self.ids = {number for number in self.ids if number > len(self.lines) - self.remembered}
        assert ids - self.ids <= set(range(1, last + 1))
        return refused

    def write(self, journal: Journal, answer: Journalled, now: float) -> None:
        """Take a journal. Raises AssertionError for a wrong answer."""
        for settled in journal.settlements:
            self.lines[settled.number - 1].records[settled.topic] = settled
        for id_ in journal.landed:
            self.flights.pop(id_, None)
        highest = max(self.flights, default=0)
        for flight, wanted in zip(answer.flights, journal.flights, strict=True):
            assert flight == msgspec.structs.replace(wanted, id=flight.id)
            assert flight.id > highest, "a flight's number was given twice"
            highest = flight.id
            self.flights[flight.id] = flight
        done = []
        for settled in journal.settlements:
            line = self.lines[settled.number - 1]
            if line.records.keys() >= set(line.entry.topics):
                done += self._finish(line, None, now)
        for verdict in journal.verdicts:
            done += self._finish(self.lines[verdict.number - 1], verdict, now)
        assert [one.number for one in answer.done] == [line.number for line in done]
        for line, one in zip(done, answer.done, strict=True):
            reasons = {record.reason for record in line.records.values()} - {None}
            assert one == Done(line.number, line.status, one.reason, line.placed)
            assert one.reason in (reasons or {line.reason})
            line.reason = one.reason

    def sweep(self, *, older_than: float, short: bool, found: View) -> None:
        """Forget what a sweep takes: by age; when space is short bodies, then deliveries, then ids, as was found.

        How far it goes when space is short is measured in the file, so it is looked up there; the order is ours.
        """
        for line in self.kept:
            if line.status in FINAL and line.settled_at < older_than:
                self._leave(line)
        left = {number: body for number, _, _, body in found.deliveries}
        settled = [line for line in self.kept if line.status in FINAL]
        swept = [line for line in settled if line.number not in left]
        stripped = [line for line in settled if line.number in left and left[line.number] is None and not line.stripped]
        assert short or not (swept or stripped), "what is young left without need"
        bodies = [line.number for line in settled if left.get(line.number) is not None]
        rows_left = [line.number for line in settled if line.number in left]
        assert not (swept and bodies), "a row left before a body"
        assert max((line.number for line in stripped), default=0) < min(bodies, default=1 << 62), "the oldest go first"
        assert max((line.number for line in swept), default=0) < min(rows_left, default=1 << 62), "the oldest go first"
        for line in stripped:
            line.stripped = True
        for line in swept:
            self._leave(line)
        ids = set(found.ids)
        forgotten = self.ids - ids
        if forgotten:
            assert short, "ids were forgotten without need"
            assert len(self.lines) in ids, "the last id must stay, or its number would be given again"
            assert max(forgotten) < min([line.number for line in self.kept], default=len(self.lines))
        assert ids <= self.ids
        self.ids = ids

    def _leave(self, line: Line) -> None:
        line.swept, line.records = True, {}

    def _first(self, identity: tuple[str, ...]) -> Line | None:
        return next((line for line in self.lines if line.number in self.ids and line.identity == identity), None)

    def _finish(self, line: Line, verdict: Verdict | None, now: float) -> list[Line]:
        if line.status is not Status.PENDING:
            return []
        dead = [record for record in line.records.values() if record.reason]
        line.settled_at = now
        if dead:
            # Of several reasons any may stand for the delivery; the answer says which.
            line.status, line.reason, line.detail = Status.DEAD, dead[0].reason, dead[0].detail
        elif line.records or verdict is None:
            line.status = Status.PUBLISHED
        else:
            line.status, line.reason, line.detail = verdict.status, verdict.reason, verdict.detail
        return [line]


class Count(NamedTuple):
    """What a file holds, counted by questions of its own."""

    view: View
    pending: int
    last_number: int
    used: int
    dead_bytes: int
    by_status: dict[str, int]


def count(path: Path, remembered: int) -> Count:
    """Count what a file holds, beside the spool; ids behind the horizon may leave it with any later commit."""
    with closing(connect_reader(path)) as connection:
        connection.execute("BEGIN")  # one snapshot for all of it
        deliveries = rows(
            connection,
            "SELECT number, event_id, status, body FROM deliveries LEFT JOIN bodies USING (number) ORDER BY 1",
        )
        records = rows(connection, 'SELECT number, topic, partition, "offset" FROM records ORDER BY number, topic')
        flights = rows(connection, "SELECT id, topic, partition FROM flights ORDER BY id")
        ids = [number for (number,) in rows(connection, "SELECT number FROM ids ORDER BY number")]
        [(owed,)] = rows(connection, "SELECT coalesce(sum(owed), 0) FROM deliveries WHERE status = 'pending'")
        pages = connection.pragma("page_count") - connection.pragma("freelist_count")
        statuses = [status for _, _, status, _ in deliveries]
        return Count(
            View(deliveries, records, flights, [number for number in ids if number > ids[-1] - remembered]),
            statuses.count("pending"),
            max(ids, default=0),
            pages * PAGE_SIZE + owed,
            sum(len(body) for _, _, status, body in deliveries if status == "dead"),
            {status: statuses.count(status) for status in Status},
        )


def seen(fact: Fact | None) -> tuple[object, ...] | None:
    """Give what a fact has in common with the model's."""
    return None if fact is None else (fact.number, fact.event_id, fact.status, fact.reason, fact.records)
