"""Text for people: times, progress, and what strangers wrote, made safe for a terminal."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import time
from datetime import UTC, datetime
from typing import TextIO

import click

LONGEST = 200  # characters of a value that a line shows
_RELATIVE = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def terminal() -> TextIO:
    """Give where progress is shown: on the terminal that stderr is, else nowhere."""
    return sys.stderr if sys.stderr.isatty() else io.StringIO()


def safe(text: str) -> str:
    """Give a text on one line with nothing a terminal would obey, or the eye be deceived by: the rest is escaped."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def safe_block(data: bytes) -> str:
    """Give bytes as lines of safe text; those that are not UTF-8 are escaped one by one."""
    text = data.decode("utf-8", "surrogateescape")
    return "\n".join(safe(line) for line in text.split("\n"))


def shown(value: object) -> str:
    """Give a JSON value on one safe line, shortened when it is long."""
    text = safe(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def moment(seconds: float | None) -> str | None:
    """Give a time as RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_text(data: bytes, name: str) -> dict[str, str]:
    """Give bytes as a member for JSON: `name` when they are UTF-8, else `<name>_base64`."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def lines(pairs: list[tuple[str, str]], indent: str = "  ") -> None:
    """Print names and values in two columns; a name that is empty goes on with the one above."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{indent}{name:<{width}}  {value}".rstrip())


class Moment(click.ParamType[float]):
    """A time as an option: RFC 3339, or so long ago, as in 2h. Without an offset it is UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give seconds since the epoch."""
        if isinstance(value, float):
            return value
        text = str(value)
        if ago := _RELATIVE.fullmatch(text):
            return time.time() - int(ago[1]) * _SECONDS[ago[2]]
        try:
            when = datetime.fromisoformat(text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is neither RFC 3339, as 2026-01-31T08:00:00Z, nor so long ago, as 30m, 2h or 7d", param, ctx
            )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - where surrogateescape keeps a byte
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
