"""Changes: what people do to deliveries that came to their end: replayed, or given up.

The same whether the relay runs, which is asked at its admin listener, or a command has the spool for itself.

    asked     what is asked for, and what was done: the values, as JSON has them too
    plan      what would be done, found by looking alone
    changes   what is done
"""

from relay.changes.asked import AT_ONCE, DISCARD, PAGES, REPLAY, Asked, Change, Discarding, Replaying, mark_of
from relay.changes.changes import Changes
from relay.changes.plan import plans

__all__ = [
    "AT_ONCE", "DISCARD", "PAGES", "REPLAY", "Asked", "Change", "Changes", "Discarding", "Replaying", "mark_of", "plans"
]  # fmt: skip
