"""Oracle: what was sent and answered, beside what was read and what the spool says, and which promises were broken."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from tests.faults.load import Answered, Sent
    from tests.faults.subscriber import Read


class Row(NamedTuple):
    """A delivery as the spool's file has it."""

    number: int
    status: str
    reason: str | None


@dataclass(slots=True)
class Excused:
    """What a fault does that no relay can make good, and what is thus counted in a column of its own.

    `destroyed`: for a topic that was deleted, the ids that may have gone with it; not those on disk alone by then.
    `moved`: topics whose keys may stand on two partitions, since partitions were added.
    `dead`: why large deliveries may be dead letters. `swept`: whether the spool may have let go of what is
    published, as it does when it is full. `doubts`: whether the relay may say that records are possible duplicates.
    `unclean`: topics led by who did not have everything: what is then sent again may be there twice.
    """

    destroyed: dict[str, AbstractSet[str]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    swept: bool = False
    doubts: bool = False
    unclean: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Finding:
    """What episodes came to; `lost` to `unsettled` and `faults` must be nothing.

    `deliveries`: how many were acknowledged; an episode without any proves nothing, and is at fault for it.
    `kills`: how often the relay was ended by kill -9. `dead` to `again`: what no relay can make good.
    `recovery`: seconds from the end of the fault until all that had been accepted was read.
    """

    deliveries: int = 0
    kills: int = 0
    lost: int = 0
    forged: int = 0
    doubled: int = 0
    reordered: int = 0
    misplaced: int = 0
    unsettled: int = 0
    dead: int = 0
    destroyed: int = 0
    moved: int = 0
    again: int = 0
    recovery: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Tell whether every promise was kept."""
        broken = self.lost, self.forged, self.doubled, self.reordered, self.misplaced, self.unsettled
        return not any(broken) and not self.faults

    def __add__(self, other: Finding) -> Finding:
        """Give the sum of two, with the longer recovery."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in Finding.__slots__ if name != "recovery"}
        return Finding(**sums, recovery=max(self.recovery, other.recovery))


def rows_of(spool: Path) -> dict[str, Row]:
    """Read every delivery of a spool's file, beside the relay or at rest; forgeries would be among them."""
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT event_id, number, status, reason FROM deliveries")
        return {event_id: Row(*row) for event_id, *row in found}


def untouched(spool: Path, topic: str) -> frozenset[str]:
    """Give the ids of which no record was sent to a topic by now, as the spool's file has it beside the relay."""
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")  # or what lands meanwhile would seem never to have flown
        flights = connection.execute("SELECT items FROM flights WHERE topic = ?", (topic,)).fetchall()
        waiting = connection.execute(
            "SELECT number, event_id FROM deliveries WHERE status = 'pending' "
            "AND number NOT IN (SELECT number FROM records WHERE topic = ?)",
            (topic,),
        ).fetchall()
    aloft = {number for (items,) in flights for number, _ in msgspec.msgpack.decode(items)}
    return frozenset(event_id for number, event_id in waiting if number not in aloft)


class Evidence(NamedTuple):
    """All there is to judge by: what was sent, what was answered, what was read, in order of offset, and the spool."""

    sent: Mapping[str, Sent]
    answered: Mapping[str, Answered]
    reads: Sequence[Read]
    rows: Mapping[str, Row]
    excused: Excused


def judge(evidence: Evidence) -> Finding:
    """Compare everything with everything.

    acknowledged is a subset of delivered (or dead for a good reason), delivered of sent, each (id, topic)
    is there once, records of a key are in the order of acceptance, and a place told is where the record is.
    """
    finding = Finding(deliveries=len(evidence.answered))
    if not evidence.answered:
        finding.faults.append("nothing was acknowledged, so nothing is proved")
    _judge_answered(evidence, finding)
    _judge_reads(evidence, finding)
    _judge_spool(evidence, finding)
    return finding


def _judge_answered(evidence: Evidence, finding: Finding) -> None:
    places = {(read.topic, read.event_id): (read.partition, read.offset) for read in evidence.reads}
    for event_id, answered in evidence.answered.items():
        row = evidence.rows.get(event_id)
        if row and row.status == "dead" and row.reason in evidence.excused.dead and evidence.sent[event_id].large:
            finding.dead += 1
            continue
        for topic in evidence.sent[event_id].topics:
            if (topic, event_id) not in places:
                gone = event_id in evidence.excused.destroyed.get(topic, ())
                finding.destroyed += gone
                finding.lost += not gone
        for told in answered.records:
            there = places.get((told.topic, event_id))
            moved = told.topic in evidence.excused.destroyed
            if told.offset is not None and there != (told.partition, told.offset) and not moved:
                finding.misplaced += 1


def _judge_reads(evidence: Evidence, finding: Finding) -> None:
    counts = Counter((read.topic, read.life, read.event_id) for read in evidence.reads)
    for (topic, _, _), count in counts.items():
        unclean = topic in evidence.excused.unclean
        finding.again += (count - 1) * unclean
        finding.doubled += (count - 1) * (not unclean)
    latest: dict[tuple[str, int, int, str], int] = {}
    partitions: dict[tuple[str, int, str], int] = {}
    seen: set[tuple[str, int, str]] = set()
    for read in evidence.reads:
        sent = evidence.sent.get(read.event_id)
        if sent is None or (read.key, read.content) != (sent.key, sent.content) or read.topic not in sent.topics:
            finding.forged += 1
            continue
        if (known := evidence.rows.get(read.event_id) or evidence.answered.get(read.event_id)) is None:
            if not evidence.excused.swept:
                finding.faults.append(f"{read.event_id} is in {read.topic} and not in the spool")
            continue
        if read.topic in evidence.excused.unclean and (read.topic, read.life, read.event_id) in seen:
            continue  # sent again; the first of them is the one in order
        seen.add((read.topic, read.life, read.event_id))
        stream = (read.topic, read.life, read.partition, read.key)
        finding.reordered += known.number < latest.get(stream, 0)
        latest[stream] = max(known.number, latest.get(stream, 0))
        if partitions.setdefault((read.topic, read.life, read.key), read.partition) != read.partition:
            moved = read.topic in evidence.excused.moved
            finding.moved += moved
            finding.reordered += not moved


def _judge_spool(evidence: Evidence, finding: Finding) -> None:
    """Every delivery accepted has one outcome; what was answered bears the number that was told."""
    finding.unsettled = sum(row.status == "pending" for row in evidence.rows.values())
    found = {(read.topic, read.event_id) for read in evidence.reads}
    for event_id, row in evidence.rows.items():
        if event_id not in evidence.sent or event_id in evidence.answered:
            continue
        # Whoever sent it had no answer, or none that said it is stored; the spool's own word binds all the same.
        for topic in evidence.sent[event_id].topics if row.status == "published" else ():
            gone = event_id in evidence.excused.destroyed.get(topic, ())
            finding.destroyed += gone and (topic, event_id) not in found
            finding.lost += not gone and (topic, event_id) not in found
    finding.faults += _disagreements(evidence)


def _disagreements(evidence: Evidence) -> Iterator[str]:
    for event_id, answered in evidence.answered.items():
        row = evidence.rows.get(event_id)
        if row is None and evidence.excused.swept:
            continue
        if row is None or row.number != answered.number:
            yield f"{event_id} was answered as delivery {answered.number}, the spool has {row}"
    for event_id, row in evidence.rows.items():
        if event_id not in evidence.sent:
            yield f"{event_id} is in the spool, and was never signed"
        elif row.status == "dropped":
            yield f"{event_id} is dropped: no rule was for it"
        elif row.status == "dead" and not (row.reason in evidence.excused.dead and evidence.sent[event_id].large):
            yield f"{event_id} is dead: {row.reason}"
