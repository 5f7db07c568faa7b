"""The last rejected requests, bounded."""

from __future__ import annotations

from relay.core.errors import Refusal
from relay.rejected.rejection import Rejection
from relay.rejected.ring import Ring


def rejection(number: int, source: str | None = "contoso", body: bytes | None = None) -> Rejection:
    """Give one of a number, which is also when it came."""
    return Rejection(
        id=f"r0000-{number}", at=float(number), source=source, path="/", reason=Refusal.BAD_SIGNATURE, client=None,
        headers=(), body=body,
    )  # fmt: skip


def test_the_oldest_leave_by_count() -> None:
    """Of each source so many; a flood on one washes away nothing of another."""
    ring = Ring(count=5)
    ring.add(rejection(0, "fabrikam"))
    for number in range(1, 100):
        ring.add(rejection(number))
    ring.add(rejection(100, None))
    assert [one.at for one in ring] == [0, 95, 96, 97, 98, 99, 100]


def test_the_oldest_leave_by_bytes() -> None:
    """Bodies and all, a source's weigh no more than they may; one that alone is too heavy is not kept."""
    ring = Ring(size=10_000)
    for number in range(10):
        ring.add(rejection(number, body=bytes(3_000)))
    assert [one.at for one in ring] == [8, 9]
    ring.add(rejection(10, body=bytes(20_000)))
    assert list(ring) == []
