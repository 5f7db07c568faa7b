"""Keys: which keys each source's deliveries may be signed with, from the configuration and from Syskit Point.

ring      what is known of a source's keys, and which are good; pure
pace      when the key may be fetched; pure
file      the rings on disk, beside the spool
keyring   one source's keys in service: fetched, ended, retired
keys      all of them
asked     what operators ask for
"""

from relay.keys.asked import FETCH, KEY_PAGES, LIST, RETIRE, Fetching, KeysAsked, Listing, Retiring
from relay.keys.file import DamagedError
from relay.keys.keys import Keys
from relay.keys.ring import KeyRow, State

__all__ = [
    "FETCH", "KEY_PAGES", "LIST", "RETIRE", "DamagedError", "Fetching", "KeyRow", "Keys", "KeysAsked", "Listing",
    "Retiring", "State",
]  # fmt: skip
