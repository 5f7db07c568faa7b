"""The audit: accepted = published + pending + dead + dropped, held against rows, metrics and Kafka.

books       the spool's totals against its rows
counters    the totals against what the running relay has counted
readback    what the spool says is in Kafka against what is read there
"""

from relay.audit.books import Books, add_up
from relay.audit.counters import Counters, compare
from relay.audit.readback import Readback

__all__ = ["Books", "Counters", "Readback", "add_up", "compare"]
