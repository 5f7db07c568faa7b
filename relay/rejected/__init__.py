"""Rejected: what is remembered of the requests that were refused lately, in memory, bounded, and never on disk.

rejection    one of them, as it may be shown
ring         the last of each source, bounded in count and bytes
examiner     the doctor at work in a thread of its own, which gives way to everything else
rejections   which are taken, what is told of them, and how they are found again
"""

from relay.rejected.rejection import ID, PAGE, Rejection
from relay.rejected.rejections import Rejections

__all__ = ["ID", "PAGE", "Rejection", "Rejections"]
