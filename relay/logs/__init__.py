"""The log: a closed list of events, written as JSON or for a terminal, with a last line of defence for secrets."""

from relay.logs.events import EVENTS
from relay.logs.output import configure

__all__ = ["EVENTS", "configure"]
