"""The logbook: what is aloft, and what the next commit says of what landed and what was buried."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Reason, Unavailable
from relay.core.model import Placed, Status
from relay.kafka import Identity
from relay.lane.batch import by_partition, flights_of
from relay.lane.logbook import Logbook
from relay.spool import Journal, Settlement
from relay.spool.store import Store
from tests.lane.fake_kafka import FakeKafka
from tests.lane.life import Life
from tests.lane.tape import Tape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from relay.lane import Item
    from relay.spool import Done

TOPIC = "t"


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    """Give an empty spool."""
    async with Life(tmp_path, TOPIC) as life:
        yield life


async def test_what_landed_and_what_was_buried_is_told_with_the_next_commit(life: Life) -> None:
    """Each record's settlement says where it is or why it is nowhere, what carried it, and what its sender heard."""
    tape = Tape(life.spool)
    on_done: list[tuple[Sequence[Done], Sequence[Item]]] = []
    neighbours = replace(
        life.neighbours(FakeKafka(), tape), on_done=lambda dones, items: on_done.append((dones, items))
    )
    logbook = Logbook(TOPIC, neighbours, ())
    one, two, three = items = await life.accept(3)
    [batch] = await logbook.write(flights_of(TOPIC, [(1, [one, two])], Identity("c", 9, 2), {1: 5}))
    assert (logbook.aloft, batch.items, batch.partition) == ([batch], (one, two), 1)
    assert (batch.identity, batch.flight.base_sequence, batch.flight.items) == (
        Identity("c", 9, 2), 5, ((1, one.record.key), (2, two.record.key)),
    )  # fmt: skip
    for item in (two, three):
        item.committed.tell("stored")
    logbook.land(batch, 40)
    logbook.bury(three, Reason.TOO_LARGE, "too large by far")
    assert (logbook.aloft, life.count("relay_records_published_total")) == ([], 2)
    assert [item.committed.status for item in items] == [Status.PUBLISHED, Status.PUBLISHED, Status.DEAD]
    assert three.committed.reason is Reason.TOO_LARGE
    assert two.committed.places == (Placed(TOPIC, 1, 41),)
    tape.full = True
    with pytest.raises(Unavailable):
        await logbook.settle()
    tape.full = False
    await logbook.settle()
    await logbook.settle()
    told = [
        Settlement(1, (TOPIC,), TOPIC, 1, 40, flight=batch.flight.id),
        Settlement(
            2, (TOPIC,), TOPIC, 1, 41, flight=batch.flight.id,
            answered="stored", answered_at=two.committed.answered_at,
        ),
        Settlement(
            3, (TOPIC,), TOPIC, reason=Reason.TOO_LARGE, detail="too large by far",
            answered="stored", answered_at=three.committed.answered_at,
        ),
    ]  # fmt: skip
    assert tape.journals[1:] == [Journal(tuple(told), (batch.flight.id,))] * 2
    (none, nothing), (dones, settled) = on_done
    assert (none, nothing, settled) == ((), [], items)
    assert [(done.number, done.status) for done in dones] == [
        (1, Status.PUBLISHED), (2, Status.PUBLISHED), (3, Status.DEAD),
    ]  # fmt: skip
    assert await life.spool.flights() == []


async def test_a_batch_may_land_where_the_broker_no_longer_knows(life: Life) -> None:
    """Without an offset the record is published all the same, at a place that is not known."""
    tape = Tape(life.spool)
    logbook = Logbook(TOPIC, life.neighbours(FakeKafka(), tape), ())
    [item] = await life.accept(1)
    flights = flights_of(TOPIC, [(0, [item])], Identity("c", 9, 2), {0: 0})
    assert [flight.id for flight, _ in flights] == [0]
    [batch] = await logbook.write(flights)
    logbook.land(batch, None)
    await logbook.settle()
    assert item.committed.places == (Placed(TOPIC, 0, None),)
    assert tape.journals[-1].settlements[0].offset is None
    assert life.done[0].status is Status.PUBLISHED


async def test_flights_take_the_place_of_others_in_one_commit(life: Life) -> None:
    """What is replaced leaves with the commit that journals the new, which stand behind what stays."""
    tape = Tape(life.spool)
    logbook = Logbook(TOPIC, life.neighbours(FakeKafka(), tape), ())
    one, two, three = await life.accept(3)
    sequences = {0: 0, 1: 0, 2: 0}
    groups = [(0, [one]), (1, [two]), (2, [three])]
    first, second, third = await logbook.write(flights_of(TOPIC, groups, Identity("c", 9, 2), sequences))
    assert sequences == {0: 1, 1: 1, 2: 1}
    again = flights_of(TOPIC, [(0, [one]), (2, [three])], Identity("c", 10, 0), {0: 0, 2: 0})
    rebooked = await logbook.write(again, replaced=[first, third])
    assert tape.journals[-1].landed == (first.flight.id, third.flight.id)
    assert logbook.aloft == [second, *rebooked]
    assert sorted(batch.flight.id for batch in logbook.aloft) == [flight.id for flight in await life.spool.flights()]


async def test_what_a_commit_took_from_the_disk_although_it_failed_is_journalled_again(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood, and what was to come in place of the flights is taken back: these stand again before they are sent."""
    tape = Tape(life.spool)
    logbook = Logbook(TOPIC, life.neighbours(FakeKafka(), tape), ())
    one, two = await life.accept(2)
    groups = [(0, [one]), (1, [two])]
    aloft = await logbook.write(flights_of(TOPIC, groups, Identity("c", 9, 2), {0: 7, 1: 0}))
    finish = Store.finish

    def fail(store: Store) -> None:
        known = store.last_flight
        finish(store)
        store.last_flight, store.sound = known, False
        raise Unavailable("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "finish", fail)
        with pytest.raises(Unavailable):
            await logbook.write(flights_of(TOPIC, groups[:1], Identity("c", 10, 0), {0: 0}), replaced=aloft[:1])
    await logbook.reaffirm()
    assert await life.spool.flights() == [batch.flight for batch in aloft]
    assert logbook.aloft == aloft
    assert [batch.items for batch in aloft] == [(one,), (two,)]
    await logbook.reaffirm()
    assert len(tape.journals) == 3, "once is enough"


async def test_flights_that_are_journalled_once_more_survive_one_more_failure(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That stands as well, and what is taken back is not they: a process that dies then leaves them on disk."""
    logbook = Logbook(TOPIC, life.neighbours(FakeKafka()), ())
    groups = [(0, await life.accept(1))]
    aloft = await logbook.write(flights_of(TOPIC, groups, Identity("c", 9, 2), {0: 7}))
    finish = Store.finish

    def stand(store: Store) -> None:
        known = store.last_flight
        finish(store)
        store.last_flight, store.sound = known, False
        raise Unavailable("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "finish", stand)
        with pytest.raises(Unavailable):
            await logbook.write(flights_of(TOPIC, groups, Identity("c", 10, 0), {0: 0}), replaced=aloft)
        with pytest.raises(Unavailable):
            await logbook.reaffirm()
    await life.spool.mend()
    assert await life.spool.flights() == [batch.flight for batch in aloft]


async def test_records_are_grouped_by_the_partition_of_their_key(life: Life) -> None:
    """Each key has one partition, and within it the records keep their order."""
    items = await life.accept(20)
    groups = by_partition(items, 3)
    assert set(groups) <= {0, 1, 2}
    assert len(groups) > 1
    assert sorted(item.number for group in groups.values() for item in group) == list(range(1, 21))
    for group in groups.values():
        assert [item.number for item in group] == sorted(item.number for item in group)
    keys = [{item.record.key for item in group} for group in groups.values()]
    assert sum(map(len, keys)) == len(set().union(*keys))
