"""The configuration: a YAML file, the environment and secret files become one frozen `Config`.

    document        the file as plain data, and where everything stands in it
    interpolation   `${...}` filled, inside string values, after parsing
    model, entry    what there is to configure, with each default and bound; scalar, text, network, url: its values
    reading         sections asked for by type, faults gathered
    sources, point, routes, checks   what it takes beyond single fields
    mask, fault     what may be shown of the file, and how

All faults of a file are told at once, and nothing that is a secret, or may be one, is in any output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from relay.config.checks import check_kafka, check_spool, read_admin
from relay.config.document import parse
from relay.config.entry import EnvelopeEntry, Outline
from relay.config.fault import Fault, Faulty
from relay.config.interpolation import Interpolation
from relay.config.mask import unparsed
from relay.config.model import (
    Ack,
    Admin,
    After,
    Config,
    DeadLetters,
    Dedupe,
    Format,
    Kafka,
    Level,
    Listen,
    Log,
    Mechanism,
    Protocol,
    Rejected,
    Security,
    Spool,
    Stop,
    Topics,
)
from relay.config.point import FetchKey, PointConfig, Register
from relay.config.reading import Reading
from relay.config.routes import read_routes
from relay.config.sources import read_sources
from relay.config.syntax import UnreadableError, split
from relay.config.text import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "Ack",
    "Admin",
    "After",
    "Config",
    "DeadLetters",
    "Dedupe",
    "Fault",
    "Faulty",
    "FetchKey",
    "Format",
    "Kafka",
    "Level",
    "Listen",
    "Log",
    "Mechanism",
    "PointConfig",
    "Protocol",
    "Register",
    "Rejected",
    "Secret",
    "Security",
    "Spool",
    "Stop",
    "Topics",
    "load",
]

MAX_FILE = 1 << 20

T = TypeVar("T")


def load(path: Path, environ: Mapping[str, str], *, secrets: bool = True) -> Config:
    """Read a configuration file; raises `Faulty` with all that is wrong with it.

    With `secrets` False no other file is read and no variable has to be set: placeholders stand for
    what is not known, so the answer is good for looking at and not for running.
    """
    interpolation = Interpolation(environ, secrets=secrets)
    reading = _read(path, interpolation)
    listen = reading.part(Listen, ("listen",))
    admin = read_admin(reading, listen, secrets=secrets)
    sources, points = read_sources(reading, files=secrets)
    kafka = reading.part(Kafka, ("kafka",))
    check_kafka(reading, kafka, files=secrets)
    envelope = reading.part(EnvelopeEntry, ("envelope",))
    routes = read_routes(reading)
    ack = reading.part(Ack, ("ack",))
    stop = reading.part(Stop, ("stop",))
    log = reading.part(Log, ("log",))
    dedupe = reading.part(Dedupe, ("dedupe",))
    spool = reading.part(Spool, ("spool",))
    dead_letters = reading.part(DeadLetters, ("dead_letters",))
    rejected = reading.part(Rejected, ("rejected",))
    check_spool(reading, listen, spool)
    reading.finish()
    return Config(
        listen=_sure(listen),
        admin=_sure(admin),
        sources=sources,
        kafka=_sure(kafka),
        envelope=_sure(envelope).made(),
        routes=routes,
        ack=_sure(ack),
        stop=_sure(stop),
        log=_sure(log),
        dedupe=_sure(dedupe),
        spool=_sure(spool),
        dead_letters=_sure(dead_letters),
        rejected=_sure(rejected),
        points=points,
    )


def _read(path: Path, interpolation: Interpolation) -> Reading:
    """Read the file and its outline; raises `Faulty` when there is nothing to read sections from."""
    text = _text(path)
    try:
        document = parse(text, interpolation)
    except UnreadableError as error:
        lines = split(text)
        source, caret = unparsed(lines[error.line] if error.line < len(lines) else "", error.col)
        fault = Fault(str(path), error.line + 1, error.col + 1, "", error.what, None, error.hint, source, caret)
        raise Faulty((fault,)) from None
    reading = Reading(str(path), document)
    if not isinstance(document.tree, dict):
        reading.fault((), "must be a mapping, as in config/relay.yaml")
        reading.finish()
    reading.part(Outline, ())
    return reading


def _text(path: Path) -> str:
    """Give a file's text; raises `Faulty` when it cannot be read, is too long, or is not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        what = f"cannot be read: {error.strerror or 'it is not there'}"
        raise Faulty((Fault(str(path), 1, 1, "", what),)) from None
    if len(content) > MAX_FILE:
        raise Faulty((Fault(str(path), 1, 1, "", f"is longer than {MAX_FILE >> 10} KiB"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = split(content[: error.start].decode())
        raise Faulty((Fault(str(path), len(before), len(before[-1]) + 1, "", "is not UTF-8 from here on"),)) from None


def _sure(part: T | None) -> T:
    """Give a section that `Reading.finish` has let pass."""
    if part is None:
        raise AssertionError("a section is absent only when a fault was gathered")
    return part
