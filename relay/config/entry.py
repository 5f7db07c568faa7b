"""Sections whose text differs from what the relay works with: read here, then made whole by `load`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Annotated

from pydantic import Field, with_config

from relay.config.model import STRICT, Admin, File, Host, Networks, Port
from relay.config.scalar import Choice, Duration, Flag, Whole
from relay.config.text import NAME, NAME_RULE, Code, Hidden, Secret, Text, Zone
from relay.core.model import Envelope, Mode, Signs

_URI = Text(
    r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,1024}",
    "must be a URI: letters, digits and -._~:/?#[]@!$&'()*+,;=% only, as in urn:syskit-point:contoso",
)
_WEB_PATH = Text(
    r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,255}",
    "must be a path of plain characters that starts with /, without query, fragment or % escapes",
)


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Outline:
    """The top of the file: which sections there are, whatever is in them."""

    version: Annotated[int, Whole(1, 1)]
    sources: object
    kafka: object
    routes: object
    listen: object = None
    admin: object = None
    envelope: object = None
    ack: object = None
    stop: object = None
    log: object = None
    dedupe: object = None
    spool: object = None
    dead_letters: object = None
    rejected: object = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class AdminEntry:
    """The admin listener, with its token still in a file."""

    host: Host = Admin().host
    port: Port = Admin().port
    token_file: File | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One source, with its keys as texts and without its name."""

    path: Annotated[str, _WEB_PATH]
    keys: Annotated[list[Annotated[Secret, Hidden(16)]], Field(max_length=16)] = field(default_factory=list)
    uri: Annotated[str, _URI] | None = None
    signs: Annotated[Signs, Choice(Signs)] = Signs.BODY
    time_zone: Annotated[tzinfo, Zone()] = UTC
    query: Annotated[dict[str, Annotated[Secret, Code(16)]], Field(max_length=8)] = field(default_factory=dict)
    networks: Networks = ()
    max_age: Annotated[float, Duration("1s", "3650d")] | None = None
    point: object = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class EnvelopeEntry:
    """How events are laid into records."""

    mode: Annotated[Mode, Choice(Mode)] = Envelope().mode
    type_prefix: Annotated[
        str, Text(r"[A-Za-z0-9._:/-]{0,128}", "must be at most 128 letters, digits and ._:/-, as in com.syskit.point.")
    ] = Envelope().type_prefix

    def made(self) -> Envelope:
        """Give it as the core takes it."""
        return Envelope(self.mode, self.type_prefix)


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One rule; what its match, topics and key mean is for `core.routing` to say."""

    name: Annotated[str, Text(NAME, NAME_RULE)]
    match: object = None
    topics: object = None
    key: object = None
    go_on: Annotated[bool, Flag(), Field(alias="continue")] = False
    drop: Annotated[bool, Flag()] = False
