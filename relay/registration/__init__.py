"""Registration: that Syskit Point posts to the endpoint, and the types, that the configuration names.

difference   what is registered, held against what should be; pure
mending      the registration made right
registrar    looked at while the relay runs
"""

from relay.registration.difference import Difference, Finding, difference
from relay.registration.mending import UnmendedError, mend
from relay.registration.registrar import Registrar

__all__ = ["Difference", "Finding", "Registrar", "UnmendedError", "difference", "mend"]
