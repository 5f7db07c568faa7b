"""The window: contiguous, bounded in bytes, and nothing in it is lost by leaving."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.core.model import Placed, Record
from relay.forwarder.window import Window
from relay.lane import Committed
from relay.lane.committed import OBJECT_BYTES


def committed(number: int, size: int = 0) -> Committed:
    """Give a delivery whose one record has a value of that size."""
    return Committed(
        number=number, source="s", event_id=str(number), type="t", routes=(), received_at=0.0,
        records=(Record("t", b"", bytes(size)),), topics=("t",),
    )  # fmt: skip


def test_a_delivery_is_found_while_it_is_in_the_window() -> None:
    """What stands in the window is found by number; what is older, or still to come, is not."""
    window = Window(10 * OBJECT_BYTES, last=4)
    assert (window.first, window.last, len(window), window.find(5)) == (5, 4, 0, None)
    five = committed(5)
    assert window.add(five) == []
    assert (window.first, window.last, len(window)) == (5, 5, 1)
    assert window.find(5) is five
    assert window.find(4) is None


def test_only_settled_ones_at_the_head_are_trimmed() -> None:
    """A delivery leaves once its end is on disk and nothing older is pending: the window stays contiguous."""
    window = Window(10 * OBJECT_BYTES)
    three = [committed(number) for number in (1, 2, 3)]
    for one in three:
        window.add(one)
    three[1].settled = True
    three[2].place(Placed("t", 0, 0))  # acknowledged, but not on disk
    window.trim()
    assert (window.first, len(window)) == (1, 3)
    three[0].settled = True
    window.trim()
    assert (window.first, len(window)) == (3, 1)
    three[2].settled = True
    window.trim()
    assert (window.first, window.last, len(window), window.size) == (4, 3, 0, 0)


def test_one_delivery_always_has_room() -> None:
    """A delivery larger than the whole window stands in it alone."""
    window = Window(OBJECT_BYTES)
    small, large = committed(1), committed(2, 5000)
    assert window.add(small) == []
    assert window.add(large) == [small]
    assert window.find(2) is large


@given(st.integers(1, 20), st.lists(st.one_of(st.integers(0, 3000), st.none()), max_size=60))
def test_the_window_is_bounded_and_contiguous(room: int, steps: list[int | None]) -> None:
    """Whatever comes (a size) and is settled (None), it holds the newest, without gaps, within its bytes."""
    window = Window(room * OBJECT_BYTES)
    added: list[Committed] = []
    left: list[Committed] = []
    for step in steps:
        if step is None:
            for one in added[len(left) :: 2]:
                one.settled = True
            window.trim()
            left = added[: window.first - 1]
        else:
            added.append(committed(len(added) + 1, step))
            left += window.add(added[-1])
        inside = added[len(left) :]
        assert [window.find(one.number) for one in added] == [None] * len(left) + inside
        assert (len(window), window.size) == (len(inside), sum(one.size for one in inside))
        assert window.last == len(added)
        assert window.first == len(left) + 1
        assert window.size <= room * OBJECT_BYTES or len(window) == 1
