"""Brings what libraries log through `logging` into the relay's own log, short and bounded."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

REPEAT_SECONDS = 10.0
MAX_REMEMBERED = 256


class Bare(logging.Filter):
    """Strips a record to its fixed text and the class of its error.

    For `aiohttp.server`, whose arguments and tracebacks hold request lines, headers and queries.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Strip the record in place; let it pass."""
        error = record.exc_info[0] if record.exc_info else None
        text = str(record.msg).split("%", 1)[0].rstrip()
        record.msg = f"{text} ({error.__name__})" if error else text
        record.args = ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


class Repeats:
    """Lets an identical line pass once in `REPEAT_SECONDS`, and counts those it held back."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lines: dict[tuple[str, str], tuple[float, int]] = {}

    def passes(self, logger: str, text: str, at: float) -> int | None:
        """Tell how many of this line were held back since it last passed, or None when it is held back now.

        `at` is in seconds; a clock set back lets the line pass.
        """
        line = (logger, text)
        since, held = self._lines.get(line, (None, 0))
        if since is not None and 0 <= at - since < REPEAT_SECONDS:
            self._lines[line] = (since, held + 1)
            return None
        self._lines.pop(line, None)
        if len(self._lines) >= MAX_REMEMBERED:
            del self._lines[next(iter(self._lines))]
        self._lines[line] = (at, 0)
        return held


class LibraryLines(logging.Handler):
    """Writes each record as `library.reported`: logger, message, the error's class and text.

    Only asyncio's records keep a traceback: they are about the relay's own tasks.
    """

    def __init__(self) -> None:
        """Take every level; the loggers decide what comes."""
        super().__init__()
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it repeats; never raises."""
        text = _message(record)
        held = self._repeats.passes(record.name, text, record.created)
        if held is None:
            return
        log: FilteringBoundLogger = structlog.get_logger().bind(logger=record.name, message=text)
        if held:
            log = log.bind(repeated=held)
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            if record.name == "asyncio":
                log = log.bind(exception="".join(traceback.format_exception(error)))
            log = log.bind(error=error)
        log.log(min(record.levelno, logging.CRITICAL) // 10 * 10, "library.reported")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a library's mistake in its own line must not break what it was doing
        return str(record.msg)


def capture() -> None:
    """Send everything at warning and above, and Python's own warnings, through `LibraryLines`; may be called again."""
    root = logging.getLogger()
    root.handlers[:] = [LibraryLines()]
    root.setLevel(logging.WARNING)
    server = logging.getLogger("aiohttp.server")
    server.filters[:] = [Bare()]
    logging.captureWarnings(capture=True)
