"""What the audit says of replays and mirrors, of ids that damage took, and of deaths while it counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from relay import config
from relay.audit import Books, Readback, readback
from relay.core.errors import Undeliverable
from relay.core.model import Mirror, Placed, Replay, Signs, Status
from relay.core.pipeline import Pipeline
from relay.kafka import Written
from relay.spool import Census, Row, Tally, Totals
from relay.spool.file import connect_reader
from relay.spool.identity import conflict_digest_of, copy_digest_of, digest_of
from relay.spool.salvage import salvage
from tests.core.samples import CONTENT_SOURCE, deliver
from tests.running import KEY, PATH, event, settings
from tests.spool.samples import NOW, alter, append, entry, opened, published, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from relay.core.model import Copy, Delivery


class Remembered(NamedTuple):
    """The ids that a spool remembers, which rows came late, and when the last of those was settled that it let go."""

    known: Sequence[bytes]
    late: Sequence[Row] = ()
    swept_until: float | None = None

    def digests(self) -> list[Sequence[bytes]]:
        """Give them in one page."""
        return [self.known]

    def tally(self) -> Tally:
        """Say that no id was forgotten."""
        return Tally(Totals(9, 9, 0, 0, 0, 0, 0, 0.0, self.swept_until), None, 9, ids_forgotten=False)

    def deliveries(self, until: int, after: int) -> list[Sequence[Row]]:
        """Give those that came late."""
        assert (until, after) == (9, max(after, 0))
        return [self.late] if self.late else []


class Kept:
    """Kafka, with records at the offsets in which they are given, all in one partition of their topics."""

    def __init__(self, records: Sequence[tuple[str, bytes, tuple[tuple[str, bytes], ...]]]) -> None:
        """Hold these (topic, value, headers), sent after any horizon."""
        self._written = [
            Written(topic, 0, offset, NOW, b"k", value, headers)
            for offset, (topic, value, headers) in enumerate(records)
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def partitions(self) -> dict[str, list[int]]:
        """Give one partition for each topic."""
        return {record.topic: [0] for record in self._written}

    async def bounds(self, places: Sequence[tuple[str, int]]) -> tuple[dict[object, int], dict[object, int]]:
        """Retain everything."""
        return dict.fromkeys(places, 0), dict.fromkeys(places, len(self._written))

    async def records(self, *_: object) -> AsyncIterator[tuple[list[Written], int]]:
        """Give all at once."""
        yield self._written, len(self._written)

    async def compacted(self, _: object) -> set[str]:
        """Thin nothing."""
        return set()


class Audited:
    """One audit of a spool's rows and ids against records in the topics `a` and `dlq`."""

    def __init__(self, folder: Path, signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin with nothing."""
        sources = {"contoso": {"path": PATH, "keys": [KEY], "signs": signs}}
        (folder / "relay.yaml").write_text(json.dumps(settings("127.0.0.1:1", folder, "a", sources=sources)))
        self._config = config.load(folder / "relay.yaml", {})
        (source,) = self._config.sources
        self.pipeline = Pipeline({source.name: source}, self._config.routes, self._config.envelope)
        self._scratch = folder / "scratch.db"
        self._monkeypatch = monkeypatch
        self._records: list[tuple[str, bytes, tuple[tuple[str, bytes], ...]]] = []

    def write(self, delivery: Delivery, copy: Copy | None = None) -> Placed:
        """Put a delivery's record into Kafka."""
        (record,) = self.pipeline.copy(delivery, copy).records
        return self.put(record.topic, record.value, record.headers)

    def put(self, topic: str, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Placed:
        """Put a record into Kafka."""
        self._records.append((topic, value, headers))
        return Placed(topic, 0, len(self._records) - 1)

    async def found(self, rows: Sequence[Row], spool: object) -> list[tuple[str, str, str]]:
        """Give what is not as it should be: the word, the topic, the id."""
        self._monkeypatch.setattr(readback, "History", lambda _: Kept(self._records))
        comparing = Readback(self._scratch, self._config)
        if rows:
            comparing.expect(rows)
        comparing.topics.add("dlq")
        await comparing.read(lambda _: None, lambda _: None)
        comparing.remember(spool)  # type: ignore[arg-type]  # as much of a census as is asked
        told = [(name, one.topic, one.id) for name, one in comparing.differences()]
        comparing.close()
        return told


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audited:
    """Give an audit of what is signed whole."""
    return Audited(tmp_path, Signs.BODY, monkeypatch)


def row(
    number: int, *places: Placed, reason: str | None = None, replay_of: int | None = None, mirror_of: int | None = None
) -> Row:
    """Give a row of the event x."""
    status = Status.DEAD if reason else Status.PUBLISHED if places else Status.PENDING
    return Row(number, "contoso", "x", status, reason, places, replay_of or mirror_of, bool(mirror_of))  # type: ignore[arg-type]


X = deliver(event(event_id="x"))
ID = digest_of("contoso", "x")


@pytest.mark.parametrize("doubled", [False, True])
async def test_a_replay_hides_no_double(audited: Audited, *, doubled: bool) -> None:
    """The row of a replay, and its record, count for nothing that was accepted."""
    first, again = audited.write(X), audited.write(X, Replay(1))
    if doubled:
        audited.write(X)
    told = await audited.found(
        [row(1, first), row(2, again, replay_of=1)], Remembered([ID, copy_digest_of("contoso", 2)])
    )
    assert told == ([("doubled", "a", "x")] if doubled else [])


@pytest.mark.parametrize("doubled", [False, True])
async def test_a_mirror_is_there_once(audited: Audited, *, doubled: bool) -> None:
    """In the topic of the dead letters, whatever of its event stands in others."""
    mirror = Mirror(1, "dlq", "unroutable", "no rule matches")
    place = audited.write(X, mirror)
    again = audited.write(X, Replay(1))
    if doubled:
        audited.write(X, mirror)
    rows = [row(1, reason="unroutable"), row(2, place, mirror_of=1), row(3, again, replay_of=1)]
    told = await audited.found(rows, Remembered([ID, copy_digest_of("contoso", 2), ID]))
    assert told == ([("doubled", "dlq", "x")] if doubled else [])


async def test_dead_letters_of_one_id_have_a_mirror_each(audited: Audited) -> None:
    """Also when the first one and the mirrors were swept: each says of which dead letter it is."""
    audited.write(X)
    for number in (2, 3):
        audited.write(X, Mirror(number, "dlq", "id_conflict", "delivery 1 has the same id"))
    known = [ID, *(conflict_digest_of("contoso", "x", bytes([n] * 16)) for n in (1, 2))]
    rows = [row(number, reason="id_conflict") for number in (2, 3)]
    assert await audited.found(rows, Remembered(known, swept_until=NOW)) == []


@pytest.mark.parametrize("ordered", [0, 1, 2])
async def test_a_replay_is_there_as_often_as_it_was_ordered(audited: Audited, ordered: int) -> None:
    """One is not, two are doubled where there is an order for one, and right where there are orders for two."""
    first, *again = audited.write(X), audited.write(X, Replay(1)), audited.write(X, Replay(1))
    rows = [row(1, first), *(row(2 + place, again[place], replay_of=1) for place in range(ordered))]
    told = await audited.found(rows, Remembered([ID]))
    unknown = [("unknown", "a", "x")] * 2 if not ordered else []
    assert told == [("doubled", "a", "x")] * (ordered < 2) + unknown


@pytest.mark.parametrize("elsewhere", [Placed("b", 0, 0), None])
async def test_a_replay_into_another_topic_excuses_none(audited: Audited, elsewhere: Placed | None) -> None:
    """One that has its place, that is; one that is still on its way may be this one."""
    first, again, _ = audited.write(X), audited.write(X, Replay(1)), audited.write(X, Replay(1))
    other = row(3, *([elsewhere] if elsewhere else []), replay_of=1)
    told = await audited.found([row(1, first), row(2, again, replay_of=1), other], Remembered([ID]))
    assert [one for one in told if one[1] == "a"] == ([("doubled", "a", "x")] if elsewhere else [])


@pytest.mark.parametrize("copy", [Replay(1), Mirror(1, "dlq", "unroutable", "no rule matches")])
@pytest.mark.parametrize("of", [1, 7])
async def test_a_copy_that_nobody_ordered_is_unknown(audited: Audited, copy: Copy, of: int) -> None:
    """Neither one of a delivery of which there is another kind of copy, nor of another delivery."""
    audited.write(X, copy)
    other = row(2, mirror_of=of) if isinstance(copy, Replay) else row(2, replay_of=of)
    rows = [row(1, reason="unroutable"), other]
    told = await audited.found(rows, Remembered([ID]))
    assert told == [("unknown", "a" if isinstance(copy, Replay) else "dlq", "x")]


@pytest.mark.parametrize("copy", [Replay(1), Mirror(1, "dlq", "unroutable", "no rule matches")])
async def test_a_copy_that_came_meanwhile_is_known(audited: Audited, copy: Copy) -> None:
    """Ordered when the rows had been read, and in Kafka before it was."""
    place = audited.write(X, copy)
    late = row(2, place, replay_of=1) if isinstance(copy, Replay) else row(2, place, mirror_of=1)
    assert await audited.found([row(1, reason="unroutable")], Remembered([ID], [late])) == []


async def test_a_copy_whose_number_cannot_be_read_is_unknown(audited: Audited) -> None:
    """The relay writes none."""
    ((topic, value, headers),) = [(one.topic, one.value, one.headers) for one in audited.pipeline.copy(X, None).records]
    audited.put(topic, value, (*headers, ("relay-replay", b"\xff 1")))
    assert await audited.found([row(1, reason="unroutable")], Remembered([ID])) == [("unknown", "a", "x")]


async def test_a_mirror_that_has_no_signed_id_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A content that is signed and malformed is remembered by what a mirror does not show."""
    audited = Audited(tmp_path, Signs.CONTENT, monkeypatch)
    delivery = deliver(b'{"type":1,"meta":{"idempotencyKey":"x"},"content":{"name":"n"}}', CONTENT_SOURCE)
    with pytest.raises(Undeliverable) as fate:
        audited.pipeline.process(delivery)
    audited.write(delivery, Mirror(1, "dlq", "malformed", "type"))
    spool = Remembered([digest_of("contoso", fate.value.dedupe_id)])
    assert await audited.found([row(2, mirror_of=1)], spool) == []


async def test_ids_that_damage_took_are_forgotten(audited: Audited, tmp_path: Path) -> None:
    """What was sent before a row was swept is then not judged; where all ids are there it is."""
    path = tmp_path / "spool.db"
    with opened(path) as store:
        append(store, entry("w"), entry("x"), entry("y"))
        settle(store, published(2))
        assert store.sweep(NOW + 1) == 1
    audited.write(X)
    alter(path, "UPDATE totals SET made_at = 0, swept_until = 2e9")
    with Census(path) as census:
        assert await audited.found([], census) == []
    alter(path, "UPDATE ids SET digest = randomblob(16) WHERE number = 2")
    with Census(path) as census:
        (tmp_path / "scratch.db").unlink()
        assert await audited.found([], census) == [("unknown", "a", "x")]
    alter(path, "DELETE FROM ids WHERE number = 2")
    salvage(path, connect_reader(path), 3)
    with Census(path) as census:
        (tmp_path / "scratch.db").unlink()
        assert await audited.found([], census) == []


def totals(dead: int, dropped: int) -> Tally:
    """Give the totals of twenty that were accepted."""
    return Tally(Totals(20, 5, dead, dropped, 0, 0, 0, 0.0, None), None, 20, ids_forgotten=False)


@pytest.mark.parametrize(("dead", "right"), [(3, False), (4, True), (5, True), (6, True), (7, False)])
def test_one_may_die_while_another_is_withdrawn(dead: int, right: bool) -> None:
    """The count of the dead is the same before and after, and may have been one more or less between."""
    pending = 20 - 5 - 5 - 1
    rows = {Status.PENDING: pending, Status.DEAD: dead, Status.PUBLISHED: 5, Status.DROPPED: 1}
    told = list(Books(totals(5, 1), totals(5, 2), rows).faults())
    assert (not told) is right
