"""What an error of SQLite means for who waits: whether the file is damaged, the disk full, or neither."""

from __future__ import annotations

import apsw
import pytest

from relay.core.errors import Cause
from relay.spool.failure import Damaged, failure


@pytest.mark.parametrize(
    ("error", "damaged", "cause", "retry_after"),
    [
        (apsw.CorruptError("malformed"), True, Cause.SPOOL_ERROR, 1),
        (apsw.NotADBError("not a database"), True, Cause.SPOOL_ERROR, 1),
        (apsw.FullError("disk is full"), False, Cause.SPOOL_FULL, 5),
        (apsw.IOError("disk I/O error"), False, Cause.SPOOL_ERROR, 1),
        (OSError("no such folder"), False, Cause.SPOOL_ERROR, 1),
    ],
)
def test_an_error_has_its_fate(error: Exception, damaged: bool, cause: Cause, retry_after: int) -> None:
    """The sentence says what could not be done, and why; only damage has the file made anew."""
    fate = failure("the spool could not be written", error)
    assert str(fate) == f"the spool could not be written: {error}"
    assert (isinstance(fate, Damaged), fate.cause, fate.retry_after, fate.busy) == (damaged, cause, retry_after, False)
