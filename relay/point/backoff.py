"""Backoff: how long Syskit Point's API is left alone after a failure."""

from __future__ import annotations


def backoff(failures: int, longest: float, retry_after: float | None, jitter: float) -> float:
    """Give the seconds until the next attempt: as long as the other side asks, or ever longer, up to `longest`.

    `failures` counts those in a row; `jitter` is from 0 to 1, so that those who failed together do not return together.
    """
    most = min(longest, 2.0 ** min(failures, 10))
    return max(retry_after or 0.0, 1.0 + jitter * (most - 1.0))
