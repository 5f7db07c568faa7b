"""Makes the fields of a log event safe to write: the last line of defence, not the first.

Whoever logs passes no body, signature, key or query. Should one slip through, a field of such a name is
masked, bytes show only their number, values that are not plain show as their repr (which hides what a model
declares hidden), and a text is cut, so that no sender decides how long a line is.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from relay.core.model import Placed

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

MASKED = frozenset({"authorization", "body", "key", "password", "query", "secret", "signature", "token"})
MASK = "***"
MAX_TEXT = 1024
MAX_TRACEBACK = 16_384
MAX_ITEMS = 100
MAX_DEPTH = 4
PLAIN = frozenset({int, float, bool, type(None)})


def redact(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Make every field safe, in place; a structlog processor, to stand after the one that writes tracebacks."""
    for name, value in event.items():
        kind = type(value)
        if kind is str:
            if len(value) > MAX_TEXT:
                event[name] = value[-MAX_TRACEBACK:] if name == "exception" else _cut(value)
        elif kind not in PLAIN and not (kind is tuple and _is_own(value)):
            event[name] = safe(value)
    if not MASKED.isdisjoint(map(str.lower, event)):
        event.update({name: MASK for name in event if name.lower() in MASKED})
    return event


def _is_own(values: tuple[object, ...]) -> bool:
    """Tell whether all are the names of rules or places of records, which are the relay's own and short."""
    short = len(values) <= MAX_ITEMS
    return short and all(type(one) is Placed or (type(one) is str and len(one) <= MAX_TEXT) for one in values)


def safe(value: object, depth: int = 0) -> object:
    """Give the value as texts, numbers, truths, lists and mappings of bounded size, with secrets masked."""
    # The types themselves first, which is nearly always enough and much quicker than asking for their kinds.
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_TEXT else _cut(value)  # type: ignore[arg-type]  # it is one
    if kind in PLAIN:
        return value
    match value:
        case None | bool() | int() | float():
            return value
        case dict() if depth < MAX_DEPTH:
            some = [(_cut(str(name)), item) for name, item in islice(value.items(), MAX_ITEMS)]
            return {name: MASK if name.lower() in MASKED else safe(item, depth + 1) for name, item in some}
        case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
            return [safe(item, depth + 1) for item in islice(value, MAX_ITEMS)]
        case _:
            return _cut(_text(value))


def _text(value: object) -> str:
    match value:
        case str():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case _:
            return repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"
