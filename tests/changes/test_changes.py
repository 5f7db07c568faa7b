"""Changes: those that are asked for at once, those that are large, and those that a stop comes upon."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest
from msgspec.structs import replace

from relay.changes import Asked, Changes, Discarding, Replaying, changes, plan, plans
from relay.core.errors import Unavailable
from relay.core.model import Envelope, Status
from relay.core.pipeline import Pipeline
from relay.core.routing import compile_route
from relay.kafka import KafkaUnavailable, TopicMissing
from relay.metrics import Metrics
from relay.spool import Journal
from tests.core.samples import SOURCE
from tests.running import event
from tests.spool.samples import FLIGHT, entry, forget, look, spool_at, totals_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relay.changes.plan import Plan
    from relay.spool import Spool

PIPELINE = Pipeline({"contoso": SOURCE}, (compile_route("all", {"topics": ["t"]}),), Envelope())


class Ground(NamedTuple):
    """A spool with the dead letters 1 to 3, and what changes it."""

    path: Path
    spool: Spool
    changes: Changes
    metrics: Metrics

    def withdrawn(self) -> float:
        """Count the dead letters that were withdrawn, as the metrics do."""
        page = self.metrics.render().decode().splitlines()
        return sum(float(line.split()[-1]) for line in page if line.startswith("relay_deliveries_withdrawn_total{"))


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """Give a spool that is open."""
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    path = tmp_path / "spool.db"
    async with spool_at(path, metrics) as spool:
        for number in "123":
            await spool.append(entry(number, body=event(event_id=number), status=Status.DEAD), forget)
        yield Ground(path, spool, Changes(path, PIPELINE, spool, lambda *_: None, metrics), metrics)


@pytest.mark.parametrize("replay_first", [True, False])
async def test_of_two_changes_at_once_one_is_made(ground: Ground, *, replay_first: bool) -> None:
    """A letter that is replayed is not given up as well: the other is refused, and it is counted once everywhere."""
    asked: list[Asked] = [Replaying((1,)), Discarding((1,), "x")]
    made = await asyncio.gather(*(ground.changes.make(one) for one in asked[:: 1 if replay_first else -1]))
    (first,), (second,) = made
    assert first.refused is None
    assert second.refused is not None or not replay_first  # what was given up may be replayed
    assert ground.withdrawn() == 1
    assert (totals_of(ground.path).dead, totals_of(ground.path).dropped) == (2, 1)


async def test_again_at_once_withdraws_once(ground: Ground) -> None:
    """Each is made, since that was said; there was one dead letter."""
    made = await asyncio.gather(*(ground.changes.make(Replaying((1,), again=True)) for _ in range(2)))
    assert [change.replay for one in made for change in one] == [4, 5]
    assert ground.withdrawn() == 1


async def test_what_it_looked_at_has_changed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that is replayed by another hand between the look and the commit is refused, and not counted."""

    def looked(asked: Asked, spool: Path, pipeline: Pipeline, *, at_rest: bool) -> list[Plan]:
        monkeypatch.setattr(changes, "plans", plans)
        found = plans(asked, spool, pipeline, at_rest=at_rest)
        asyncio.run_coroutine_threadsafe(other.make(Discarding((1,), "x")), loop).result()
        return found

    other = Changes(ground.path, PIPELINE, ground.spool, lambda *_: None, ground.metrics)
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(changes, "plans", looked)
    (made,) = await ground.changes.make(Replaying((1,)))
    assert made.refused == "delivery 1 is no dead letter any more"
    assert ground.withdrawn() == 1


async def test_large_ones_are_changed_in_pieces(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded: plans end early, the rest is planned anew, each once and in order."""
    sizes: list[int] = []

    def looked(asked: Asked, spool: Path, pipeline: Pipeline, *, at_rest: bool) -> list[Plan]:
        found = plans(asked, spool, pipeline, at_rest=at_rest)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(changes, "plans", looked)
    monkeypatch.setattr(plan, "PIECE", plans(Replaying((1,)), ground.path, PIPELINE, at_rest=False)[0].size + 1)
    assert [change.refused for change in await ground.changes.make(Replaying((1, 2, 3), dry_run=True))] == [None] * 3
    made = await ground.changes.make(Replaying((3, 1, 1, 2)))
    assert [(change.delivery, change.replay) for change in made] == [(3, 4), (1, 5), (2, 6)]
    assert sizes == [3, 2, 1]


async def test_a_look_holds_nothing(ground: Ground) -> None:
    """Neither entries nor records are kept of what is not going to be done."""
    (looked_at, *_) = plans(Replaying((1, 2), dry_run=True), ground.path, PIPELINE, at_rest=False)
    assert (looked_at.change.topics, looked_at.size) == (("t",), 0)
    assert (looked_at.entry, looked_at.processed) == (None, None)


async def test_a_stop_meanwhile_leaves_all_as_it_is(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool may be closed by the time that is planned: it is told, and nothing is written."""

    def looked(asked: Asked, spool: Path, pipeline: Pipeline, *, at_rest: bool) -> list[Plan]:
        ground.changes.closed = True
        return plans(asked, spool, pipeline, at_rest=at_rest)

    monkeypatch.setattr(changes, "plans", looked)
    made = await ground.changes.make(Replaying((1, 2)))
    assert [(change.delivery, change.refused) for change in made] == [
        (1, "the relay is stopping"), (2, "the relay is stopping")
    ]  # fmt: skip
    assert look(ground.path, "SELECT DISTINCT status FROM deliveries") == [("dead",)]


async def test_a_discard_that_stands_although_it_was_told_as_failed_is_told_as_done(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for again with the same words it is done, and counted once; with other words it is refused."""
    write = ground.spool.write

    async def fail(journal: Journal) -> NoReturn:
        await write(journal)
        raise Unavailable("disk I/O error")

    asked = Discarding((1, 2), "noise")
    with monkeypatch.context() as failing:
        failing.setattr(ground.spool, "write", fail)
        with pytest.raises(Unavailable, match="disk I/O error"):
            await ground.changes.make(asked)
    assert (ground.withdrawn(), totals_of(ground.path).dropped) == (0, 2)
    for _ in range(2):
        made = await ground.changes.make(asked)
        assert [(change.delivery, change.refused) for change in made] == [(1, None), (2, None)]
        assert (ground.withdrawn(), totals_of(ground.path).dropped) == (2, 2)
    (other,) = await ground.changes.make(Discarding((1,), "spam"))
    assert other.refused == "it is discarded: only dead letters are discarded"
    made = await ground.changes.make(Discarding((2, 3), "noise"))
    assert ([change.refused for change in made], ground.withdrawn()) == ([None, None], 3)


async def test_a_replay_on_its_way_is_given_up_at_rest(ground: Ground) -> None:
    """Beside a relay it is refused, as a lane may have it already, and so is what is in flight or no replay."""
    await ground.changes.make(Replaying((1, 2), topic="typo"))
    await ground.spool.append(entry("4"), forget)
    await ground.spool.write(Journal(flights=(replace(FLIGHT, topic="typo", items=((5, b""),)),)))
    (refused,) = await ground.changes.make(Discarding((4,), "x"))
    assert refused.refused == "it is a replay on its way: it is given up only while no relay runs"
    at_rest = Changes(ground.path, PIPELINE, ground.spool, None, ground.metrics)
    made = await at_rest.make(Discarding((4, 5, 6), "a typo"))
    only = "it is pending: only dead letters are discarded"
    assert [change.refused for change in made] == [None, only, only]
    query = "SELECT number, status, withdrawn, because FROM deliveries WHERE number > 3"
    assert look(ground.path, query) == [
        (4, "dropped", "discarded", "a typo"), (5, "pending", None, None), (6, "pending", None, None)
    ]  # fmt: skip
    totals = totals_of(ground.path)
    assert (totals.pending, totals.dropped, totals.dead, ground.spool.pending) == (2, 3, 1, 2)


@pytest.mark.parametrize(
    ("fault", "refused"), [(TopicMissing("there is no typo"), True), (KafkaUnavailable("away"), False), (None, False)]
)
async def test_a_topic_that_is_not_there_takes_no_replay(
    ground: Ground, fault: Exception | None, refused: bool
) -> None:
    """It would wait for ever; where Kafka does not answer it waits for that."""
    asked: list[str] = []

    async def find(topic: str) -> None:
        asked.append(topic)
        if fault:
            raise fault

    making = Changes(ground.path, PIPELINE, ground.spool, lambda *_: None, ground.metrics, find)
    with pytest.raises(Unavailable, match="there is no typo") if refused else nullcontext():
        await making.make(Replaying((1,), topic="typo"))
    await making.make(Replaying((2,)))
    await making.make(Replaying((3,), topic="no name"))
    assert asked == ["typo"]
    assert totals_of(ground.path).dead == (2 if refused else 1)
