"""Books: what may stand in a spool while a relay is at work on it, and what may not."""

from __future__ import annotations

import pytest

from relay.audit import Books
from relay.core.model import Status
from relay.spool import Tally, Totals


def tally(**counts: int) -> Tally:
    """Give the totals of a moment in which ten were accepted."""
    none = {"accepted": 10, "published": 0, "dead": 0, "dropped": 0, "gone": 0, "departed": 0, "lost": 0}
    totals = Totals(**{**none, **counts}, made_at=0.0, swept_until=None)
    return Tally(totals, None, totals.accepted, ids_forgotten=False)


@pytest.mark.parametrize(("dead", "sound"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_one_dies_and_one_is_discarded_while_the_rows_go_by(dead: int, sound: bool) -> None:
    """Two dead before and after are one, two or three dead rows, by which of both the pages saw."""
    before, after = tally(published=6, dead=2, dropped=1), tally(published=6, dead=2, dropped=2)
    rows = {Status.PENDING: 1, Status.DEAD: dead, Status.PUBLISHED: 6, Status.DROPPED: 1}
    faults = list(Books(before, after, rows).faults())
    assert (not faults) is sound, faults


@pytest.mark.parametrize(("dead", "sound"), [(1, False), (2, True), (3, False)])
def test_at_rest_the_count_is_one_number(dead: int, sound: bool) -> None:
    """Nothing is allowed for when nothing happened."""
    still = tally(published=6, dead=2, dropped=1)
    rows = {Status.PENDING: 1, Status.DEAD: dead, Status.PUBLISHED: 6, Status.DROPPED: 1}
    faults = list(Books(still, still, rows).faults())
    assert (not faults) is sound, faults


def test_what_was_lost_is_no_sound_book() -> None:
    """Deliveries that a damaged file has cost are told at each audit, although the counts fit."""
    still = tally(published=6, dead=2, lost=2)
    (fault,) = Books(still, still, {Status.PENDING: 0, Status.DEAD: 2, Status.PUBLISHED: 6, Status.DROPPED: 0}).faults()
    assert fault.startswith("2 were lost with a damaged file")
