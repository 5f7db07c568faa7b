"""What goes wrong with Syskit Point's API, in sentences that say what to do."""

from __future__ import annotations


class PointError(Exception):
    """A request that did not do what it was for.

    The message says what to do, and has nothing of an answer's text, which could echo a secret.
    `curable` says that it may pass by itself, and `retry_after` for how many seconds the other side
    asked to be left alone; None when it did not.
    """

    def __init__(self, message: str, *, curable: bool = False, retry_after: float | None = None) -> None:
        """Keep the sentence and whether waiting is of any use."""
        super().__init__(message)
        self.curable = curable
        self.retry_after = retry_after


class NotRegistered(PointError):  # noqa: N818 - named for what it says
    """The endpoint that was to be deleted is not there."""
