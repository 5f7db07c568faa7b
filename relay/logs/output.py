"""Sets the log up: which lines are written, how, and where to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, BinaryIO

import structlog

from relay.logs import libraries
from relay.logs.fields import redact
from relay.logs.lines import Columns, as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Lines:
    """Writes finished lines to a stream; a stream that fails loses lines and never a delivery."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to a stream that is buffered, so that a line of any thread goes out whole."""
        self._stream = stream

    def __call__(self, *_names: object) -> Lines:
        """Give itself: structlog asks for a logger by calling."""
        return self

    def msg(self, line: bytes) -> None:
        """Write one line at once."""
        try:
            self._stream.write(line + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more, the disk is full, or the stream is closed: there is nowhere left to say so.
            return

    debug = info = warning = error = critical = exception = msg


def configure(level: str, form: str, stream: BinaryIO, environ: Mapping[str, str]) -> None:
    """Set up structlog and `logging` for the whole process, once, before anything is logged.

    `level` is a name in `LEVELS`, else KeyError. `form` is `json`, `console` or `auto`: columns on a terminal,
    JSON elsewhere. Colours only on a terminal, and not with a `NO_COLOR` that is not empty (no-color.org).
    Times are ISO 8601 in UTC. Libraries are heard at warning and above.
    """
    terminal = stream.isatty()
    columns = form == "console" or (form == "auto" and terminal)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            Columns(colors=terminal and not environ.get("NO_COLOR")) if columns else as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=Lines(stream),
        cache_logger_on_first_use=True,
    )
    libraries.capture()
