"""The sources: from their entries to what `core` authenticates with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.config.entry import SourceEntry
from relay.config.text import NAME, NAME_RULE
from relay.core.model import Key, Source
from relay.core.signature import fingerprint

if TYPE_CHECKING:
    from relay.config.reading import Reading


def read_sources(reading: Reading) -> tuple[Source, ...]:
    """Give the sources in the order of the file; faulty ones are left out, and gathered."""
    entries = reading.document.at(("sources",))
    if not isinstance(entries, dict) or not entries:
        reading.fault(("sources",), "must be a mapping of at least one name to a source")
        return ()
    sources = [_read_source(reading, name) for name in entries]
    for name in entries:
        if not re.fullmatch(NAME, name):
            reading.fault(("sources", name), NAME_RULE, at_key=True)
    taken: dict[str, str] = {}
    for source in sources:
        if source is None:
            continue
        if source.path in taken:
            path = ("sources", source.name, "path")
            reading.fault(path, f"is the path of the source {taken[source.path]} too; each needs its own")
        taken.setdefault(source.path, source.name)
    return tuple(source for source in sources if source is not None)


def _read_source(reading: Reading, name: str) -> Source | None:
    """Give one source, or None when it has faults."""
    path = ("sources", name)
    entry = reading.part(SourceEntry, path)
    if entry is None:
        return None
    secrets = [key.reveal().encode() for key in entry.keys]
    for index, secret in enumerate(secrets):
        if secret in secrets[:index]:
            reading.fault((*path, "keys", index), "is the same key as one before it")
    keys = tuple(Key(fingerprint(secret), secret) for secret in secrets)
    uri = f"urn:syskit-point:{name}" if entry.uri is None else entry.uri
    return Source(name, entry.path, uri, keys, entry.signs, entry.time_zone)
