"""Browser: what verbs see of a spool, beside its writer or without one, and that they leave it as it was."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace as altered

from relay.core.errors import Reason, Unavailable
from relay.core.model import Status, Withdrawal
from relay.spool import Aloft, Browser, Discard, Journal, Settled, Wanted
from relay.spool import browser as browsing
from relay.spool.view import View
from tests.spool.samples import FLIGHT, NOW, alter, append, entry, log_of, look, opened, published, refused, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.spool.store import Store


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Open the writer's side."""
    with opened(path) as store:
        yield store


def numbers(path: Path, wanted: Wanted = Wanted(), **page: int | bool) -> list[int]:  # noqa: B008 - a frozen value
    """List numbers alone."""
    with Browser(path) as browser:
        return [listed.number for listed in browser.list(wanted, **page)]  # type: ignore[arg-type]


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Give every file of a folder, with its content and when it was changed."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def crash(path: Path) -> None:
    """Leave a spool with one delivery as a process that is killed leaves it: its log unfolded."""
    if (child := os.fork()) == 0:
        with opened(path) as store:
            append(store, entry("1"))
            os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [5, 4, 3, 2, 1]),
        (Wanted(status=Status.PENDING), [4, 1]),
        (Wanted(status=Status.DEAD), [5, 3]),
        (Wanted(status=Status.DROPPED), [2]),
        (Wanted(reason=Reason.ID_CONFLICT), [5]),
        (Wanted(status=Status.PENDING, reason=Reason.ID_CONFLICT), []),
        (Wanted(source="fabrikam"), [4]),
        (Wanted(event_id="1"), [5, 4, 1]),
        (Wanted(event_id="1", source="contoso"), [5, 1]),
        (Wanted(type="ProvisioningStarted"), [5, 4, 3, 2, 1]),
        (Wanted(type="Other"), []),
        (Wanted(since=12.5), [5, 4, 3, 2, 1]),
        (Wanted(since=12.6), []),
        (Wanted(until=12.5), []),
        (Wanted(until=12.6), [5, 4, 3, 2, 1]),
    ],
)
@pytest.mark.parametrize("page", [1, 2, 2_000])
def test_a_list_holds_what_is_wanted(  # noqa: PLR0917 - fixtures and parameters
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, expected: list[int], page: int
) -> None:
    """Every filter alone and beside others, newest first or in order, however long the pages are."""
    monkeypatch.setattr(browsing, "PAGE", page)
    append(store, entry("1"), entry("2", status=Status.DROPPED), entry("3", status=Status.DEAD))
    append(store, entry("1", source="fabrikam"), entry("1", fingerprint=b"other"))
    assert numbers(path, wanted) == expected
    assert numbers(path, wanted, oldest_first=True) == expected[::-1]
    assert numbers(path, wanted, after=1, before=5) == [number for number in expected if 1 < number < 5]


@pytest.mark.parametrize("oldest_first", [False, True])
def test_the_dead_are_found_by_the_index(store: Store, path: Path, oldest_first: bool) -> None:
    """To list what is kept, no row of anything else is looked at, and nothing is sorted."""
    query = browsing._Query(Wanted(reason=Reason.UNROUTABLE), oldest_first=oldest_first)
    for text in (query._edge, query._page):
        filled = re.sub(r"\?", "'x'", text)
        plan = [str(row) for row in look(path, f"EXPLAIN QUERY PLAN {filled}")]
        assert any("INDEX kept (status=? AND number" in step for step in plan), plan
        assert not any("SORT" in step or "TEMP" in step for step in plan), plan


def test_all_that_is_kept_of_a_delivery_is_found(store: Store, path: Path) -> None:
    """Its row, body, records with their flights, and the flights it is in now."""
    one = entry("1")
    append(store, one, entry("2"))
    topics = ("a", "b", "c")
    store.commit((), [Journal(flights=(altered(FLIGHT, topic="c"),))], NOW)
    settle(store, altered(published(1, "a", topics), flight=7), refused(1, "b", topics))
    with Browser(path) as browser:
        kept = browser.find(1)
        assert kept
        assert browser.find(3) is None
    assert (kept.delivery, kept.accepted_at) == (one.delivery, NOW)
    assert (kept.listed.event_id, kept.listed.status, kept.listed.settled_at) == ("1", Status.PENDING, None)
    assert kept.records == (
        Settled("a", 0, 101, 7, None, None),
        Settled("b", None, None, None, Reason.REFUSED, "the broker refused it"),
    )
    assert kept.aloft == (Aloft("c", 2, 1, 12.5),)


def test_ids_outlive_what_they_name(store: Store, path: Path) -> None:
    """What has left the spool is known by number and by id; what left the memory of repeats takes no part in them."""
    append(store, entry("1", status=Status.DROPPED), entry("2", status=Status.DROPPED))
    store.sweep(NOW + 1)
    with Browser(path) as browser:
        known = browser.first_of("contoso", "1")
        assert known == browser.known(1)
        assert known
        assert (known.number, known.accepted_at, known.fingerprint) == (1, NOW, entry("1").fingerprint)
        assert browser.find(1) is None
        assert browser.known(3) is browser.first_of("fabrikam", "1") is None
        assert browser.first_of("contoso", "1", 1) is None
        assert browser.first_of("contoso", "2", 1) == browser.known(2)
        assert browser.last_number() == 2


def test_a_conflict_is_found_as_the_spool_finds_it(store: Store, path: Path) -> None:
    """The delivery kept for a conflict is found by its own fingerprint, and by no other."""
    append(store, entry("1"), entry("1", fingerprint=b"other"))
    with Browser(path) as browser:
        found = browser.conflict_of("contoso", "1", b"other", 1000)
        assert found == browser.known(2)
        assert browser.conflict_of("contoso", "1", b"another", 1000) is None


def test_what_is_written_meanwhile_is_seen(store: Store, path: Path) -> None:
    """Each answer is as new as the last commit, and a list goes on over what leaves and comes."""
    append(store, entry("1"), entry("2"))
    with Browser(path) as browser:
        listing = browser.list(Wanted())
        assert next(listing).number == 2
        append(store, entry("3"))
        assert [listed.number for listed in listing] == [1]
        assert [listed.number for listed in browser.list(Wanted())] == [3, 2, 1]


def test_a_spool_at_rest_is_left_as_it_was(path: Path) -> None:
    """Without a log and its index, nothing is created or changed."""
    with opened(path) as store:
        append(store, entry("1"))
    before = state(path.parent)
    assert "spool.db-wal" not in before
    assert numbers(path) == [1]
    assert state(path.parent) == before


def test_a_relay_may_start_on_a_spool_that_is_looked_at(path: Path) -> None:
    """A look that began without a relay sees what one writes meanwhile, also when it has folded its log and gone."""
    with opened(path) as store:
        append(store, entry("1"))
    with Browser(path) as browser:
        assert browser.last_number() == 1
        with opened(path) as store:
            append(store, entry("2"))
            assert browser.last_number() == 2


def test_a_relay_may_come_and_go_on_a_spool_that_is_looked_at(path: Path) -> None:
    """A look that began without a relay sees what one wrote that has folded its log and gone."""
    with opened(path) as store:
        append(store, entry("1"))
    with Browser(path) as browser:
        assert browser.last_number() == 1
        with opened(path) as store:
            append(store, entry("2"))
        assert not log_of(path).exists()
        assert browser.last_number() == 2


def test_the_spool_of_a_crash_is_read_with_its_log(path: Path) -> None:
    """What only the log has is seen, and neither the file nor the log is changed."""
    crash(path)
    before = path.read_bytes(), log_of(path).read_bytes()
    assert numbers(path) == [1]
    assert (path.read_bytes(), log_of(path).read_bytes()) == before


def test_an_answer_of_a_file_that_changed_is_asked_again(path: Path) -> None:
    """While a file that was taken for unchanging changes under the reader, its answer does not count."""
    with opened(path) as store:
        append(store, entry("1"))
    view = View(path)
    asked: list[int] = []

    def work(_: object) -> int:
        asked.append(1)
        if len(asked) == 1:
            os.utime(path, ns=(1, 1))
        return len(asked)

    assert view.read(work) == 2
    view.close()


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_what_is_no_spool_is_told(path: Path, content: bytes) -> None:
    """A file of something else, or of nothing, is one sentence, and stays as it is."""
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="is not a relay's spool"):
        Browser(path)
    assert state(path.parent).keys() == {path.name}
    assert path.read_bytes() == content


def test_another_version_is_told(path: Path) -> None:
    """A spool of another schema is told with both versions."""
    with opened(path):
        pass
    alter(path, "PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="spool schema 99, this relay reads"):
        Browser(path)


def test_no_file_is_told(path: Path) -> None:
    """A spool that is not there is told, and not made."""
    with pytest.raises(Unavailable, match="cannot be read"):
        Browser(path)
    assert not list(path.parent.iterdir())


def test_a_listed_value_compares(store: Store, path: Path) -> None:
    """A repeat is counted on the line of the first."""
    append(store, entry("1"))
    with Browser(path) as browser:
        (before,) = browser.list(Wanted())
        append(store, entry("1"))
        (after,) = browser.list(Wanted())
    assert after == replace(before, repeats=1, repeated_at=NOW)


def test_what_was_given_up_is_listed_as_that(store: Store, path: Path) -> None:
    """A dropped one that was a dead letter says how it left the dead ones."""
    append(store, entry("1", status=Status.DEAD), entry("2", status=Status.DROPPED))
    store.commit((), [Journal(discards=(Discard(1, "noise"),))], NOW)
    with Browser(path) as browser:
        listed = browser.list(Wanted(), oldest_first=True)
    assert [(one.status, one.withdrawn) for one in listed] == [
        (Status.DROPPED, Withdrawal.DISCARDED),
        (Status.DROPPED, None),
    ]
