"""The spool: every accepted delivery on disk, until its records are in Kafka."""

from relay.spool.browser import Browser
from relay.spool.file import InUse, in_use
from relay.spool.kept import Aloft, Kept, Known, Listed, Settled, Wanted
from relay.spool.spool import Spool
from relay.spool.values import (
    Appended,
    Dead,
    Discard,
    Done,
    Entry,
    Fact,
    Flight,
    Journal,
    Journalled,
    Settlement,
    Stored,
    Told,
    Usage,
    Verdict,
)

__all__ = [
    "Aloft",
    "Appended",
    "Browser",
    "Dead",
    "Discard",
    "Done",
    "Entry",
    "Fact",
    "Flight",
    "InUse",
    "Journal",
    "Journalled",
    "Kept",
    "Known",
    "Listed",
    "Settled",
    "Settlement",
    "Spool",
    "Stored",
    "Told",
    "Usage",
    "Verdict",
    "Wanted",
    "in_use",
]
