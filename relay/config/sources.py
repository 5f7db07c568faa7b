"""The sources: from their entries to what `core` authenticates with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.config.entry import SourceEntry
from relay.config.text import NAME, NAME_RULE
from relay.core.gate import Gate
from relay.core.model import Key, Signs, Source
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
    if entry.max_age is not None and entry.signs is Signs.CONTENT:
        reading.fault((*path, "max_age"), "needs signs: body, as the content's signature covers no time stamp")
    gate = _read_gate(reading, entry, path)
    return Source(name, entry.path, uri, keys, entry.signs, entry.time_zone, entry.max_age, gate)


def _read_gate(reading: Reading, entry: SourceEntry, path: tuple[str, ...]) -> Gate:
    """Give what a source asks of a request before its body."""
    for name in entry.query:
        if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", name):
            what = "must be of letters, digits and -._~, and have at most 64 characters, as a parameter of a URL"
            reading.fault((*path, "query", name), what, at_key=True)
    return Gate(entry.networks, {name: secret.reveal().encode() for name, secret in entry.query.items()})
