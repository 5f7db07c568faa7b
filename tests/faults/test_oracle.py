"""The oracle: each promise that is broken is counted under its own name, and what is excused in its own column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from relay.core.model import Placed
from relay.spool import Journal
from tests.faults.load import Answered, Sent
from tests.faults.oracle import Evidence, Excused, Row, judge, untouched
from tests.faults.subscriber import Read
from tests.faults.table import EXCUSED, PROMISED
from tests.spool.samples import FLIGHT, NOW, append, entry, opened, settle
from tests.spool.samples import published as landed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOPIC = "t"
KEY = "contoso/MicrosoftTeams/w"
COUNTED = (*PROMISED, *EXCUSED)


def sent(id_: str, *, large: bool = False) -> Sent:
    """Give what was signed under an id, all of one workspace."""
    return Sent("contoso", "w", "ProvisioningStarted", {"nonce": id_} | ({"padding": "p"} if large else {}), (TOPIC,))


def read(id_: str, offset: int, **changes: object) -> Read:
    """Give its record at an offset of the first partition."""
    record = Read(TOPIC, 0, 0, offset, KEY, id_, sent(id_).content)
    return record._replace(**changes)  # type: ignore[arg-type] # of the fields' own types


def reads(ids: str) -> tuple[Read, ...]:
    """Give the records of these ids, in this order."""
    return tuple(read(id_, offset) for offset, id_ in enumerate(ids))


def published(ids: str) -> dict[str, Row]:
    """Give the spool's rows of deliveries that are in Kafka, in the order of acceptance."""
    return {id_: Row(ord(id_) - ord("a") + 1, "published", None) for id_ in ids}


@dataclass(frozen=True, slots=True)
class Case:
    """What is different from two deliveries, `a` and `b`, that were told to be at 0/0 and 0/1, and are; and `c`, sent.

    `rows` go over those of `a` and `b`, None takes one away. `found` is what is counted.
    """

    name: str
    found: dict[str, int] = field(default_factory=dict)
    fault: str | None = None
    reads: tuple[Read, ...] = reads("ab")
    rows: Mapping[str, Row | None] = field(default_factory=dict)
    excused: Excused = field(default_factory=Excused)
    large: bool = False
    told: bool = True

    @property
    def evidence(self) -> Evidence:
        """Give all there is to judge by."""
        places = [[Placed(TOPIC, 0, place)] if self.told else [] for place in (0, 1)]
        answered = {
            id_: Answered(place + 1, "published", places[place], float(place)) for place, id_ in enumerate("ab")
        }
        rows = {id_: row for id_, row in {**published("ab"), **self.rows}.items() if row}
        return Evidence({id_: sent(id_, large=self.large) for id_ in "abc"}, answered, self.reads, rows, self.excused)


def destroyed(ids: str) -> Excused:
    """Excuse these, as their topic was deleted."""
    return Excused(destroyed={TOPIC: frozenset(ids)})


DEAD = Row(2, "dead", "too_large")
PADDED = ({**sent("a", large=True).content}, {**sent("b", large=True).content})
LARGE = tuple(one._replace(content=content) for one, content in zip(reads("ab"), PADDED, strict=True))
MOVED = (read("a", 0), read("b", 0, partition=1))
ANEW = (*reads("ab"), read("a", 0, life=1), read("b", 1, life=1))

CASES = (
    Case("all is well"),
    Case("one without an answer is there", reads=reads("abc"), rows=published("c")),
    Case("one without an answer was never stored", reads=reads("ab")),
    Case("acknowledged and not there", {"lost": 1}, reads=reads("a"), told=False),
    Case("in the spool's word published and not there", {"lost": 1}, rows=published("c")),
    Case("told where it is not", {"misplaced": 1}, reads=(read("a", 0), read("b", 2))),
    Case("told where nothing is", {"lost": 1, "misplaced": 1}, reads=reads("a")),
    Case("never sent", {"forged": 1}, reads=(*reads("ab"), read("x", 2))),
    Case("another content", {"forged": 1}, reads=(read("a", 0), read("b", 1, content={"nonce": "x"}))),
    Case("another key", {"forged": 1}, reads=(read("a", 0), read("b", 1, key="other"))),
    Case("another topic", {"forged": 1}, reads=(*reads("ab"), read("a", 0, topic="u"))),
    Case("twice", {"doubled": 1}, reads=reads("abb"), told=False),
    Case("three times", {"doubled": 2}, reads=reads("abbb"), told=False),
    Case("twice, and out of order", {"doubled": 1, "reordered": 1}, reads=reads("aba"), told=False),
    Case("out of order", {"reordered": 1}, reads=reads("ba"), told=False),
    Case("a key on two partitions", {"reordered": 1}, reads=MOVED, told=False),
    Case("pending at the end", {"unsettled": 1}, rows={"b": Row(2, "pending", None)}),
    # What a fault excuses goes into its own column, and only that.
    Case("gone with its topic", {"destroyed": 1}, reads=reads("a"), told=False, excused=destroyed("b")),
    Case("gone with its topic, told where it was", {"destroyed": 1}, reads=reads("a"), excused=destroyed("b")),
    Case("not among those that went with it", {"lost": 1}, reads=reads("a"), told=False, excused=destroyed("a")),
    Case("gone unanswered", {"destroyed": 1}, rows=published("c"), excused=destroyed("c")),
    Case("in a topic made anew as well", reads=ANEW, told=False),
    Case("twice in a topic made anew", {"doubled": 1}, reads=(*ANEW, read("b", 2, life=1)), excused=destroyed("ab")),
    Case("moved by partitions that were added", {"moved": 1}, reads=MOVED, told=False, excused=Excused(moved={TOPIC})),
    Case("out of order beside added ones", {"reordered": 1}, reads=reads("ba"), told=False,
         excused=Excused(moved={TOPIC})),
    Case("sent again after an unclean election", {"again": 1}, reads=reads("aba"), excused=Excused(unclean={TOPIC}),
         told=False),
    Case("out of order after an unclean election", {"reordered": 1}, reads=reads("ba"), told=False,
         excused=Excused(unclean={TOPIC})),
    Case("twice beside an unclean election", {"doubled": 1}, reads=reads("abb"), told=False,
         excused=Excused(unclean={"u"})),
    Case("too large", {"dead": 1}, reads=LARGE[:1], rows={"b": DEAD}, large=True, excused=Excused(dead={"too_large"})),
    Case("too large, and not excused", {"lost": 1, "misplaced": 1}, "b is dead: too_large", reads=LARGE[:1],
         rows={"b": DEAD}, large=True),
    Case("small, and dead", {"lost": 1, "misplaced": 1}, "b is dead: too_large", reads=reads("a"), rows={"b": DEAD},
         excused=Excused(dead={"too_large"})),
    # What is neither counted nor excused is said in words.
    Case("answered, and not in the spool", fault="b was answered as delivery 2, the spool has None", rows={"b": None}),
    Case("swept", rows={"b": None}, excused=Excused(swept=True)),
    Case("answered with another number", {"reordered": 1}, "a was answered as delivery 1, the spool has",
         rows={"a": Row(3, "published", None), "b": Row(2, "published", None)}),
    Case("dropped", fault="b is dropped: no rule was for it", rows={"b": Row(2, "dropped", None)}),
    Case("never signed, and in the spool", fault="x is in the spool, and was never signed",
         rows={"x": Row(4, "published", None)}),
    Case("unanswered, there, and not in the spool", fault="c is in t and not in the spool", reads=reads("abc")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_counted_under_its_own_name(case: Case) -> None:
    """Acknowledged is a subset of delivered, delivered of sent, each once and in order, save for what is excused."""
    found = judge(case.evidence)
    said = " ".join(found.faults)
    counted = {name: getattr(found, name) for name in COUNTED if getattr(found, name)}
    assert (counted, found.deliveries) == (case.found, 2)
    assert (case.fault is None) == (not said)
    assert (case.fault or "") in said
    assert found.clean is (case.fault is None and case.found.keys() <= set(EXCUSED))


def test_what_was_not_sent_yet_cannot_go_with_its_topic(tmp_path: Path) -> None:
    """Pending, in no flight of the topic and settled in none of its records: that is on disk alone."""
    spool = tmp_path / "spool.db"
    with opened(spool) as store:
        append(store, *(entry(id_) for id_ in ("waits", "flies", "is there", "waits elsewhere", "is done")))
        topics = (TOPIC, "u")
        settle(store, landed(3, TOPIC, topics), landed(4, "u", topics), landed(5))
        flight = msgspec.structs.replace(FLIGHT, topic=TOPIC, items=((2, b"key"),))
        store.commit((), [Journal(flights=(flight,))], NOW)
        assert untouched(spool, TOPIC) == {"waits", "waits elsewhere"}
        assert untouched(spool, "u") == {"waits", "flies", "is there"}


def test_an_episode_without_deliveries_proves_nothing() -> None:
    """Nothing acknowledged is nothing lost, and no verdict in favour of the relay."""
    found = judge(Evidence({}, {}, (), {}, Excused()))
    assert (found.clean, found.faults) == (False, ["nothing was acknowledged, so nothing is proved"])
