"""Paths: the places in an event that rules and templates can name.

They are `type`, `source`, `subject`, and `content.` with the names of members, one within the other.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from relay.core.routing.fault import RuleError, unknown

if TYPE_CHECKING:
    from relay.core.model import Event
    from relay.core.routing.fault import Place


class Missing(enum.Enum):
    """What stands at a path that an event does not have; unlike None, which is JSON's null."""

    MISSING = enum.auto()


MISSING: Final = Missing.MISSING
CONTENT: Final = "content."
_ATTRIBUTES = ("type", "source", "subject")

Path: TypeAlias = str
"""A path as the configuration writes it."""


def check_path(path: Path, place: Place) -> None:
    """Refuse a path that no event can have. Raises RuleError at `place`."""
    head, *names = path.split(".")
    if (path in _ATTRIBUTES) or (head == "content" and names and all(names)):
        return
    if head == "content":
        raise RuleError(place, f"{path!r} names no member of the content: write content.<name>")
    raise RuleError(place, unknown("path", path, (*_ATTRIBUTES, ".".join(["content", *(names or ["<name>"])]))))


def value_at(event: Event, path: Path) -> object:
    """Give the value at a checked path, or MISSING; total."""
    if path == "type":
        return event.type
    if path == "source":
        return event.source
    if path == "subject":
        return MISSING if event.subject is None else event.subject
    value = event.content
    for name in _names(path):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


@lru_cache(maxsize=4096)  # paths come from the configuration
def _names(path: Path) -> tuple[str, ...]:
    return tuple(path.split(".")[1:])
