"""Time stamps: what was found for one is never taken for another. Which can be read at all, `test_syskit` holds."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

from relay.core.timestamp import in_utc

ZAGREB = ZoneInfo("Europe/Zagreb")
BEHIND = timezone(timedelta(minutes=-30))


def test_one_stamp_is_another_time_in_another_zone() -> None:
    """The same stamp, asked for again and again in turn, is read in the zone or offset it is asked with."""
    stamp = "2023-07-05T14:48:00"
    for _ in range(2):
        assert in_utc(stamp, UTC) == "2023-07-05T14:48:00Z"
        assert in_utc(stamp, ZAGREB) == "2023-07-05T12:48:00Z"
        assert in_utc(stamp, BEHIND) == "2023-07-05T15:18:00Z"
        assert in_utc(f"{stamp}Z", ZAGREB) == "2023-07-05T14:48:00Z"
        assert in_utc(f"{stamp}.25+01:00", ZAGREB) == "2023-07-05T13:48:00.25Z"
        assert in_utc(f"{stamp}.5", UTC) == "2023-07-05T14:48:00.5Z"


def test_summer_time_begins_and_ends_to_the_second() -> None:
    """The seconds on both sides of a change of the clock have each its own offset."""
    assert in_utc("2023-03-26T01:59:59", ZAGREB) == "2023-03-26T00:59:59Z"
    assert in_utc("2023-03-26T03:00:00", ZAGREB) == "2023-03-26T01:00:00Z"
    assert in_utc("2023-10-29T01:59:59", ZAGREB) == "2023-10-28T23:59:59Z"
    assert in_utc("2023-10-29T03:00:00", ZAGREB) == "2023-10-29T02:00:00Z"
