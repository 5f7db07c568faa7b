"""Turns an event into one line: JSON for machines, columns for people."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import structlog

from relay.core.model import Placed

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_encode = msgspec.json.Encoder().encode


def stamp(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Add the time: ISO 8601 in UTC, to the microsecond. The text of a second is made once."""
    seconds, fraction = divmod(time.time_ns() // 1000, 1_000_000)
    event["timestamp"] = f"{_second(seconds)}.{fraction:06d}Z"
    return event


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_json(_logger: WrappedLogger, _level: str, event: EventDict) -> bytes:
    """Write the event as one JSON object: time, level and name first. Total for what `fields` lets through."""
    line = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event"), **event}
    try:
        return _encode(line)
    except (UnicodeEncodeError, OverflowError):
        # A lone surrogate or an integer beyond 64 bits: the slow way writes both.
        return json.dumps(line, default=msgspec.to_builtins).encode()


class Columns:
    """Writes events for a terminal."""

    def __init__(self, *, colors: bool) -> None:
        """Write with colours or without; tracebacks are plain, as rich ones show the values of variables."""
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )

    def __call__(self, logger: WrappedLogger, level: str, event: EventDict) -> bytes:
        """Write the event; what a terminal would obey is shown escaped."""
        shown = {name: _visible(value) for name, value in event.items() if name != "exception"}
        if "exception" in event:
            shown["exception"] = "\n".join(map(_escaped, event["exception"].split("\n")))
        return self._render(logger, level, shown).encode("utf-8", "backslashreplace")


def _visible(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, Placed):
        return f"{value.topic}/{value.partition}@{value.offset}"
    if isinstance(value, list | tuple):
        return [_visible(item) for item in value]
    if isinstance(value, dict):
        return {_visible(name): _visible(item) for name, item in value.items()}
    return value


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
