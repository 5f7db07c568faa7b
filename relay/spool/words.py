"""Words: the statuses and reasons that rows have, where damage may have put others."""

from __future__ import annotations

import apsw

from relay.core.errors import Reason
from relay.core.model import Status


def status_of(stored: str) -> Status:
    """Give the status that a row has. Raises `apsw.CorruptError` for a word that is none."""
    try:
        return Status(stored)
    except ValueError as error:
        raise apsw.CorruptError(f"a delivery's status is {stored!r}") from error


def reason_of(stored: str | None) -> Reason | None:
    """Give the reason that a row has; none for a word that is none, since nothing depends on it."""
    try:
        return Reason(stored) if stored else None
    except ValueError:
        return None
