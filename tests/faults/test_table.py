"""The table, and the pace of what fills it."""

from __future__ import annotations

from itertools import islice

from tests.faults.__main__ import KILLED, drawn
from tests.faults.oracle import Finding
from tests.faults.table import Table

WELL = Finding(deliveries=100, kills=5)


def test_what_was_judged_is_counted() -> None:
    """Struck, kills and deliveries add up, in the row and in all; clean is clean."""
    table = Table(None)
    table.add("f", "--only f", 2, WELL)
    table.add("f", "--only f", 1, WELL)
    assert (table.clean, table.kills) == (True, 10)
    assert "| f | 3 | 10 | 200 | 0 | 0 | 0 |" in str(table)
    assert "| all | 3 | 10 | 200 | 0 | 0 | 0 |" in str(table)


def test_a_broken_promise_is_told_in_words() -> None:
    """The row counts it, and beneath stands how to repeat it and what was at fault."""
    table = Table(None)
    table.add("f", "--only f --episode 7", 1, Finding(deliveries=100, faults=["x is dead: refused"]))
    assert not table.clean
    assert "| f | 1 | 0 | 100 | 1 | 0 | 0 |" in str(table)
    assert "failed: --only f --episode 7: x is dead: refused" in str(table)


def test_an_episode_that_broke_off_counts_for_nothing_but_that() -> None:
    """Without a verdict nothing was struck and nothing delivered: it is told in words, and the run is not clean."""
    table = Table(None)
    table.add("f", "--only f", 1, WELL)
    table.give_up("f", "--only f --episode 7", "Traceback:\n  at x\nTimeoutError: the cluster did not become whole\n")
    table.give_up("g", "--only g --episode 8", "AssertionError: waited in vain")
    assert not table.clean
    assert "| f | 1 | 5 | 100 | 0 | 1 | 0 |" in str(table)
    assert "| g | 0 | 0 | 0 | 0 | 1 | 0 |" in str(table)
    assert "| all | 1 | 5 | 100 | 0 | 2 | 0 |" in str(table)
    assert "no verdict: --only f --episode 7: TimeoutError: the cluster did not become whole" in str(table)
    assert "no verdict: --only g --episode 8: AssertionError: waited in vain" in str(table)


def test_a_fault_that_was_left_out_is_told() -> None:
    """A run that could not do all of it proves less than it should: it is not clean, and says what is missing."""
    table = Table(None)
    table.add("f", "--only f", 1, WELL)
    table.skip("disk full", "it takes root")
    assert not table.clean
    assert "not done: disk full: it takes root" in str(table)


def test_kills_that_are_behind_come_between_the_others() -> None:
    """Every other episode makes up for them, the others keep their order and their seeds."""
    names = ["broker killed", KILLED, "disk full"]
    alone = list(islice(drawn(names, 1, 3, lambda: False), 9))
    amid = list(islice(drawn(names, 1, 3, lambda: True), 18))
    assert amid[1::2] == alone
    assert {name for name, *_ in amid[::2]} == {KILLED}
    assert len({seed for _, seed, _ in amid}) == 18
