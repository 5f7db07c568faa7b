"""Syskit Point's time stamps, put into UTC as RFC 3339 writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

_SHAPE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,32})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def in_utc(stamp: str | None, zone: tzinfo) -> str | None:
    """Give a time stamp in UTC, or None when it is not a date and time of the calendar; total.

    An offset in the stamp wins over `zone`. The fraction stays digit for digit.
    """
    shape = _SHAPE.fullmatch(stamp) if stamp is not None else None
    if shape is None:
        return None
    second, fraction, offset = shape.groups("")
    moved = _second_in_utc(second, offset, zone)
    return None if moved is None else f"{moved}{fraction}Z"


@lru_cache(maxsize=1024)  # deliveries of one second share it, and the arguments are short: the shape bounds them
def _second_in_utc(second: str, offset: str, zone: tzinfo) -> str | None:
    try:
        time = datetime.fromisoformat(f"{second[:10]}T{second[11:]}{offset.upper()}")
        if not offset:
            time = time.replace(tzinfo=zone)
        return time.astimezone(UTC).isoformat()[:19]
    except (ValueError, OverflowError):  # no such day or hour, or a year that UTC moves out of 1 to 9999
        return None
