"""Changes: those that are asked for at once, those that are large, and those that a stop comes upon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import pytest

from relay.changes import Asked, Changes, Discarding, Replaying, changes, plan, plans
from relay.core.model import Envelope, Status
from relay.core.pipeline import Pipeline
from relay.core.routing import compile_route
from relay.metrics import Metrics
from tests.core.samples import SOURCE
from tests.running import event
from tests.spool.samples import entry, forget, look, spool_at, totals_of

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

    def looked(asked: Asked, path: Path, pipeline: Pipeline) -> list[Plan]:
        monkeypatch.setattr(changes, "plans", plans)
        found = plans(asked, path, pipeline)
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

    def looked(asked: Asked, path: Path, pipeline: Pipeline) -> list[Plan]:
        found = plans(asked, path, pipeline)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(changes, "plans", looked)
    monkeypatch.setattr(plan, "PIECE", plans(Replaying((1,)), ground.path, PIPELINE)[0].size + 1)
    assert [change.refused for change in await ground.changes.make(Replaying((1, 2, 3), dry_run=True))] == [None] * 3
    made = await ground.changes.make(Replaying((3, 1, 1, 2)))
    assert [(change.delivery, change.replay) for change in made] == [(3, 4), (1, 5), (2, 6)]
    assert sizes == [3, 2, 1]


async def test_a_look_holds_nothing(ground: Ground) -> None:
    """Neither entries nor records are kept of what is not going to be done."""
    (looked_at, *_) = plans(Replaying((1, 2), dry_run=True), ground.path, PIPELINE)
    assert (looked_at.change.topics, looked_at.size) == (("t",), 0)
    assert (looked_at.entry, looked_at.processed) == (None, None)


async def test_a_stop_meanwhile_leaves_all_as_it_is(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool may be closed by the time that is planned: it is told, and nothing is written."""

    def looked(asked: Asked, path: Path, pipeline: Pipeline) -> list[Plan]:
        ground.changes.closed = True
        return plans(asked, path, pipeline)

    monkeypatch.setattr(changes, "plans", looked)
    made = await ground.changes.make(Replaying((1, 2)))
    assert [(change.delivery, change.refused) for change in made] == [
        (1, "the relay is stopping"), (2, "the relay is stopping")
    ]  # fmt: skip
    assert look(ground.path, "SELECT DISTINCT status FROM deliveries") == [("dead",)]
