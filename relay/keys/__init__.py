"""Keys: which keys each source's deliveries may be signed with, from the configuration and from Syskit Point.

ring      what is known of a source's keys, and which are good; pure
pace      when the key may be fetched; pure
file      the rings on disk, beside the spool
known     the keys on disk, for who looks at what was signed
keyring   one source's keys in service: fetched, ended, retired
keys      all of them
asked     what operators ask for
"""

from relay.keys.asked import FETCH, KEY_PAGES, LIST, RETIRE, Fetching, KeysAsked, Listing, Retiring
from relay.keys.keys import NOBODY, Keys
from relay.keys.known import Known, known_keys
from relay.keys.ring import KeyRow, State

__all__ = [
    "FETCH", "KEY_PAGES", "LIST", "NOBODY", "RETIRE", "Fetching", "KeyRow", "Keys", "KeysAsked", "Known",
    "Listing", "Retiring", "State", "known_keys",
]  # fmt: skip
