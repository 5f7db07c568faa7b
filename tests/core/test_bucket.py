"""How often something may happen, of how many names at once."""

from __future__ import annotations

from relay.core.bucket import Bucket, Buckets


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """Ten at once, then two a second; what is not taken is not saved beyond the burst."""
    bucket = Bucket(2.0, 10, 0.0)
    assert [bucket.take(0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(12)].count(True) == 10


def test_names_have_buckets_of_their_own() -> None:
    """Who has used up his own takes nothing from another."""
    buckets = Buckets(1.0, 3, 100)
    assert [buckets.take("a", 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert buckets.take("b", 0.0)


def test_many_names_take_no_memory_and_drive_nobody_out() -> None:
    """A million names are as many as may be remembered; those beyond share one bucket, and who has failed still has."""
    buckets = Buckets(0.001, 3, 10)
    assert [buckets.take("first", 0.0) for _ in range(4)] == [True] * 3 + [False]
    assert sum(buckets.take(name, 0.0) for name in range(100_000)) == 9 + 3
    assert len(buckets) == 10
    assert not buckets.take("first", 1.0)


def test_what_is_full_again_is_forgotten_for_others() -> None:
    """It makes room, as a new one would be the same."""
    buckets = Buckets(1.0, 3, 10)
    for name in range(10):
        assert buckets.take(name, 0.0)
    assert [buckets.take("late", 0.0) for _ in range(4)] == [True] * 3 + [False]
    assert [buckets.take("late", 5.0) for _ in range(4)] == [True] * 3 + [False]
    assert len(buckets) == 1
