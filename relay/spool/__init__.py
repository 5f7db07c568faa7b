"""The spool: every accepted delivery on disk, until its records are in Kafka."""

from relay.spool.browser import Browser
from relay.spool.census import Census, Row, Tally
from relay.spool.failure import Damaged
from relay.spool.kept import Aloft, Kept, Known, Listed, Settled, Wanted
from relay.spool.lock import InUse, Lock, in_use
from relay.spool.memory import WARM
from relay.spool.reconciliation import Discrepancy, Found, Reconciliation
from relay.spool.spool import Spool
from relay.spool.totals import Totals
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
    "WARM",
    "Aloft",
    "Appended",
    "Browser",
    "Census",
    "Damaged",
    "Dead",
    "Discard",
    "Discrepancy",
    "Done",
    "Entry",
    "Fact",
    "Flight",
    "Found",
    "InUse",
    "Journal",
    "Journalled",
    "Kept",
    "Known",
    "Listed",
    "Lock",
    "Reconciliation",
    "Row",
    "Settled",
    "Settlement",
    "Spool",
    "Stored",
    "Tally",
    "Told",
    "Totals",
    "Usage",
    "Verdict",
    "Wanted",
    "in_use",
]
