"""A new file takes the place of a damaged one: whenever that is broken off, the next start has what could be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.spool.file import connect_reader
from relay.spool.lock import Lock
from relay.spool.salvage import salvage
from relay.spool.writer import Writer
from tests.spool.pages import pages_of, ruin
from tests.spool.samples import MIB, append, entry, look, opened, published, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 40
STEPS = 5  # the draft becomes ready, the file, its log and its index are set aside, and what is ready takes the place


class Killed(BaseException):
    """The process is gone: nothing of ours may catch this."""


def damage(path: Path) -> None:
    """Make a spool, its log beside it as a crash leaves it, of which a page of bodies is ruined."""
    with opened(path) as store:
        append(store, *(entry(str(number), body=b"x" * 1000) for number in range(COUNT)))
        settle(store, published(1))
    ruin(path, pages_of(path, "bodies")[3:4])
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).touch()


def writer_at(path: Path, lock: Lock) -> Writer:
    """Start on a spool."""
    return Writer(path, lock, max_size=64 * MIB, remembered=1000, ballast=0)


@pytest.fixture
def lock(path: Path) -> Iterator[Lock]:
    """Give the spool's lock."""
    lock = Lock(path)
    yield lock
    lock.close()


def moved(monkeypatch: pytest.MonkeyPatch, at: int, error: type[BaseException]) -> list[Path]:
    """Let the move of this number, from 1, raise instead; give what was moved."""
    told: list[Path] = []

    def instead(name: str) -> None:
        move = getattr(Path, name)

        def count(path: Path, target: Path) -> Path:
            told.append(path)
            if len(told) == at:
                raise error
            return move(path, target)  # type: ignore[no-any-return] # as the one it stands for

        monkeypatch.setattr(Path, name, count)

    for name in ("rename", "replace"):
        instead(name)
    return told


@pytest.mark.parametrize("error", [Killed, OSError])
@pytest.mark.parametrize("step", range(2, STEPS + 1))
def test_broken_off_at_any_step_it_is_there_at_the_next_start(
    path: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException]
) -> None:
    """Once there was a new file that is whole, no other is opened, and no empty one is made in its place."""
    damage(path)
    with monkeypatch.context() as patched:
        moves = moved(patched, step, error)
        with pytest.raises(error):
            salvage(path, connect_reader(path), COUNT)
    assert len(moves) == step
    with capture_logs() as told:
        writer = writer_at(path, lock)
    kept = writer.store.pending + 1
    assert look(path, "SELECT count(*) FROM deliveries") == [(kept,)]
    assert (writer.store.last_number, writer.losses.lost) == (COUNT, COUNT - kept)
    assert COUNT - 10 < kept < COUNT
    assert [line["kept"] for line in told if line["event"] == "spool.salvaged"] == [kept]
    writer.close()
    assert not [file.name for file in path.parent.iterdir() if ".salvage" in file.name]
    with capture_logs() as told:
        writer_at(path, lock).close()
    assert not [line for line in told if line["event"].startswith("spool.s")], "it is whole: once is enough"


def test_broken_off_before_it_is_whole_it_is_worth_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is as it was, and is salvaged anew."""
    damage(path)
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        moved(patched, 1, Killed)
        with pytest.raises(Killed):
            salvage(path, connect_reader(path), COUNT)
    assert path.read_bytes() == before
    assert 0 < salvage(path, connect_reader(path), COUNT).lost < 10


@pytest.mark.parametrize("step", [2, 3])
def test_a_relay_that_runs_opens_nothing_older_than_what_is_ready(
    path: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """What it made anew while it ran, and could not put in its place, it puts there before it writes anything."""
    with opened(path) as store:
        append(store, *(entry(str(number)) for number in range(COUNT)))
    writer = writer_at(path, lock)
    writer.store.connection.wal_checkpoint()
    writer.store.sound = False
    with monkeypatch.context() as patched:
        moved(patched, step, OSError)
        with pytest.raises(Unavailable):
            writer.renew()
    (appended,), _ = writer.commit([entry("new")], ())
    assert not isinstance(appended, Unavailable)
    assert appended.number == COUNT + 1
    writer.close()
    assert look(path, "SELECT count(*) FROM deliveries") == [(COUNT + 1,)]
    assert not [file.name for file in path.parent.iterdir() if ".salvage" in file.name]
