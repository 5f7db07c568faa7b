"""Overheard: what the relay beside it logs, sorted into what the demo tells and what a person must see."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import ReadableBuffer

LOUD = frozenset({"warning", "error", "critical"})
# aiokafka warns of every topic that was made a moment ago, and at a new Syskit Point nothing is registered yet.
EXPECTED = frozenset({"library.reported", "registration.missing"})


class Line(msgspec.Struct):
    """A line of the relay's log, as far as the demo looks at it; docs/logs.md has the events."""

    level: str
    event: str
    reason: str | None = None
    detail: str | None = None
    route: str | None = None


class Overheard(io.BytesIO):
    """The stream that the log is written to, as JSON.

    While `telling`, the lines on deliveries are kept until they are taken. Of all others those at
    warning and above are passed on at once: they are not part of what is shown. Warnings of what is
    `EXPECTED` are left out.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Pass on what a person must see to `warn`."""
        super().__init__()
        self._warn = warn
        self._kept: dict[str, Line] = {}
        self.telling = True

    def write(self, text: ReadableBuffer, /) -> int:
        """Take one finished line."""
        written = bytes(text)
        line = msgspec.json.decode(written, type=Line)
        if self.telling and line.event.startswith("delivery."):
            self._kept[line.event] = line
        elif line.level in LOUD and not (line.level == "warning" and line.event in EXPECTED):
            self._warn(_readable(written))
        return len(written)

    def has(self, event: str) -> bool:
        """Tell whether a line of this event is kept."""
        return event in self._kept

    def take(self) -> Mapping[str, Line]:
        """Give the kept lines by event, the last of each, and forget them."""
        kept, self._kept = self._kept, {}
        return kept


def _readable(written: bytes) -> str:
    fields = msgspec.json.decode(written, type=dict[str, object])
    head = [str(fields.pop(name)) for name in ("level", "event")]
    fields.pop("timestamp")
    return " ".join([*head, *(f"{name}={value}" for name, value in fields.items())])
