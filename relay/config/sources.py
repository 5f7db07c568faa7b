"""The sources: from their entries to what `core` authenticates with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.config.entry import SourceEntry
from relay.config.point import read_point
from relay.config.text import NAME, NAME_RULE
from relay.config.url import comparable
from relay.core.gate import Gate
from relay.core.model import Key, Signs, Source
from relay.core.signature import fingerprint

if TYPE_CHECKING:
    from relay.config.document import Steps
    from relay.config.point import PointConfig
    from relay.config.reading import Reading


def read_sources(reading: Reading, *, files: bool) -> tuple[tuple[Source, ...], dict[str, PointConfig]]:
    """Give the sources in the order of the file, and the APIs of some; faulty ones are left out, and gathered.

    With `files` also those that cannot be read.
    """
    entries = reading.document.at(("sources",))
    if not isinstance(entries, dict) or not entries:
        reading.fault(("sources",), "must be a mapping of at least one name to a source")
        return (), {}
    points: dict[str, PointConfig] = {}
    sources = [_read_source(reading, name, points, files=files) for name in entries]
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
    _check_endpoints(reading, points)
    return tuple(source for source in sources if source is not None), points


def _read_source(reading: Reading, name: str, points: dict[str, PointConfig], *, files: bool) -> Source | None:
    """Give one source, or None when it has faults; its API, if it has one, goes into `points`."""
    path = ("sources", name)
    entry = reading.part(SourceEntry, path)
    point = None
    if reading.document.at((*path, "point")) is not None:
        point = read_point(reading, (*path, "point"), entry, files=files)
        if point:
            points[name] = point
    _check_keys(reading, path)
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


def _check_endpoints(reading: Reading, points: dict[str, PointConfig]) -> None:
    """Gather endpoints that two sources register: each would take the other's for its own."""
    taken: dict[str, str] = {}
    for name, point in points.items():
        if point.register is None:
            continue
        first = taken.setdefault(comparable(point.register.endpoint), name)
        if first != name:
            what = f"is the endpoint of the source {first} too; each needs its own"
            reading.fault(("sources", name, "point", "register", "endpoint"), what)


def _read_gate(reading: Reading, entry: SourceEntry, path: tuple[str, ...]) -> Gate:
    """Give what a source asks of a request before its body."""
    for name in entry.query:
        if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", name):
            what = "must be of letters, digits and -._~, and have at most 64 characters, as a parameter of a URL"
            reading.fault((*path, "query", name), what, at_key=True)
    return Gate(entry.networks, {name: secret.reveal().encode() for name, secret in entry.query.items()})


def _check_keys(reading: Reading, path: Steps) -> None:
    """Gather a source that could never have a key: it lists none, and fetches none."""
    source = reading.document.at(path)
    if not isinstance(source, dict) or source.get("keys", []) != []:
        return
    point = source.get("point")
    if point is None:
        absent = "keys" not in source
        what = "is missing" if absent else "must have at least one entry"
        what += "; or let the relay fetch the key from Syskit Point: write the section point"
        reading.fault((*path, "keys"), what, absent=absent)
    elif isinstance(point, dict) and point.get("fetch_key", {}) is None:
        what = "must have at least one entry, as point.fetch_key is null"
        reading.fault((*path, "keys"), what, absent="keys" not in source)
