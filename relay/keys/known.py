"""Known: the keys of every source as they are on disk, for who looks at what was signed while no keyring is at hand."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from relay.keys import file
from relay.keys.ring import Ring

if TYPE_CHECKING:
    from relay.config import Config
    from relay.core.model import Source


class Known(NamedTuple):
    """The sources by name, in `good` with the keys that are good now, in `over` with those that were and are held.

    `retired` has the fingerprints by source of all that are good no more, also of those that are not held.
    """

    good: dict[str, Source]
    over: dict[str, Source]
    retired: dict[str, frozenset[str]]


def known_keys(config: Config) -> Known:
    """Read the file of the rings, and put its keys beside the configured ones; nothing is locked or written.

    Raises `Unavailable` when the file cannot be read.
    """
    rings = file.look(file.path_of(config.spool.path))
    now, known = time.time(), Known({}, {}, {})
    for source in config.sources:
        ring, point = rings.get(source.name, Ring()), config.points.get(source.name)
        ring = ring.serving(fetches=point is not None and point.fetch_key is not None)
        known.good[source.name] = replace(source, keys=ring.good(source.keys, now))
        over = ring.over(source.keys, now)
        known.over[source.name] = replace(source, keys=over)
        known.retired[source.name] = frozenset((*ring.retired, *(key.id for key in over)))
    return known
