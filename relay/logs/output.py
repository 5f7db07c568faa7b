"""Sets the log up: which lines are written, how, and where to."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import structlog

from relay.logs import libraries
from relay.logs.fields import redact
from relay.logs.lines import Columns, as_json, stamp

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
        """Write to a stream, buffered or not: lines go out whole, whichever thread they are of."""
        self._stream = stream
        self._waiting: list[bytes] = []

    def __call__(self, *_names: object) -> Lines:
        """Give itself: structlog asks for a logger by calling."""
        return self

    def msg(self, line: bytes) -> None:
        """Write one line at once."""
        self._waiting.append(line + b"\n")
        self.flush()

    def soon(self, line: bytes) -> None:
        """Write one line when the event loop of this thread has done what it does now, with all that come till then.

        A system call for each line would cost as much as the line. Without a loop it is written at once.
        """
        self._waiting.append(line + b"\n")
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits, in one piece."""
        lines, self._waiting = self._waiting, []
        # Nobody may read any more, the disk be full, or the stream be closed: there is nowhere left to say so.
        with suppress(OSError, ValueError):
            self._stream.write(b"".join(lines))
            self._stream.flush()

    debug = info = soon
    warning = error = critical = exception = msg


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
            stamp,
            structlog.processors.format_exc_info,
            redact,
            Columns(colors=terminal and not environ.get("NO_COLOR")) if columns else as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=Lines(stream),
        cache_logger_on_first_use=True,
    )
    libraries.capture()
