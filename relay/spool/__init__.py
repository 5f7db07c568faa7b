"""The spool: every accepted delivery on disk, until its records are in Kafka."""

from relay.spool.spool import Spool
from relay.spool.values import (
    Appended,
    Done,
    Entry,
    Fact,
    Flight,
    Journal,
    Journalled,
    Settlement,
    Stored,
    Usage,
    Verdict,
)

__all__ = [
    "Appended",
    "Done",
    "Entry",
    "Fact",
    "Flight",
    "Journal",
    "Journalled",
    "Settlement",
    "Spool",
    "Stored",
    "Usage",
    "Verdict",
]
