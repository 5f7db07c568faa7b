"""The composition root: builds, runs and stops the parts."""

from relay.app.at_rest import at_rest
from relay.app.keys_at_rest import keys_at_rest
from relay.app.relay import DOCUMENTED_TYPES, Relay
from relay.app.run import run

__all__ = ["DOCUMENTED_TYPES", "Relay", "at_rest", "keys_at_rest", "run"]
