"""What is asked for, and what was done, as values and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AT_ONCE = 200
"""So many deliveries are asked for together at most."""

REPLAY, DISCARD = "/deliveries/replay", "/deliveries/discard"
"""Where the admin listener of a running relay is asked, with POST."""

Numbers = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=1, le=(1 << 62))], ...], msgspec.Meta(min_length=1, max_length=AT_ONCE)
]


class Replaying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deliveries to replay, through the rules or into one `topic`; those replayed already only `again`.

    `spool` says which one is meant, as `mark_of` gives it; another relay than its own refuses.
    """

    deliveries: Numbers
    topic: str | None = None
    again: bool = False
    dry_run: bool = False
    spool: str | None = None


class Discarding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters to give up, and why; `spool` as in `Replaying`."""

    deliveries: Numbers
    because: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    dry_run: bool = False
    spool: str | None = None


Asked = Replaying | Discarding
PAGES: Mapping[str, type[Replaying | Discarding]] = {REPLAY: Replaying, DISCARD: Discarding}


def mark_of(spool: Path) -> str:
    """Give what tells a spool's file from others on this machine. Raises OSError."""
    state = spool.stat()
    return f"{state.st_dev}:{state.st_ino}"


class Change(msgspec.Struct, frozen=True):
    """What was done to a delivery, or would be; nothing when it was `refused`, which says why.

    `reason` is why it is dead. A replay goes to `topics`, and is delivery `replay` once it was made.
    """

    delivery: int
    reason: str | None = None
    topics: tuple[str, ...] = ()
    replay: int | None = None
    refused: str | None = None
