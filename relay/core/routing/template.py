"""Templates: topics and keys with placeholders.

`{path}` stands for the value at a path: texts as they are, numbers and booleans as JSON writes them.
Null, arrays, objects and the empty text count as missing. `{path:kebab}` writes CamelCase as
camel-case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.routing.fault import RuleError, unknown
from relay.core.routing.path import CONTENT, check_path, value_at

if TYPE_CHECKING:
    from relay.core.model import Event
    from relay.core.routing.fault import Place
    from relay.core.routing.path import Path

_LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FILTERS = ("kebab",)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One value to be filled in; `of_content` tells that it is a member of the content."""

    path: Path
    kebab: bool
    of_content: bool

    def text(self, event: Event) -> str | None:
        """Give the value as text, or None when it is missing."""
        value = value_at(event, self.path)
        if isinstance(value, str):
            return (_HUMP.sub("-", value).lower() if self.kebab else value) or None
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's name. What `fill` gives is legal in Kafka."""

    source: str
    parts: tuple[str | Placeholder, ...]

    @property
    def literal(self) -> str | None:
        """The name when nothing is to be filled in, else None."""
        return self.source if len(self.parts) == 1 else None

    def fill(self, event: Event) -> str | None:
        """Give the name for an event, or None when a value is missing or the name would be illegal."""
        if len(self.parts) == 1:
            return self.source
        name = ""
        for part in self.parts:
            text = part if isinstance(part, str) else part.text(event)
            if text is None:
                return None
            name += text
        return name if legal_topic(name) else None


@dataclass(frozen=True, slots=True)
class KeyText:
    """A record's key."""

    source: str
    parts: tuple[str | Placeholder, ...]

    @property
    def literal(self) -> str | None:
        """The key when nothing is to be filled in, else None."""
        return self.source if len(self.parts) == 1 and isinstance(self.parts[0], str) else None

    def fill(self, event: Event) -> str | None:
        """Give the key for an event, a missing value as empty.

        None when the template names members of the content and all of them are missing, or when
        nothing is left: no key is empty.
        """
        key, found, named = "", False, False
        for part in self.parts:
            if isinstance(part, str):
                key += part
                continue
            text = part.text(event)
            key += text or ""
            if part.of_content:
                named, found = True, found or text is not None
        return key or None if found or not named else None


def compile_topic(place: Place, text: str) -> Topic:
    """Make a topic of its template, which begins with a literal. Raises RuleError."""
    parts = _parts(place, text)
    if not isinstance(parts[0], str):
        raise RuleError(place, f"{text!r} must begin with a literal, as in syskit.{{type}}")
    literals = "".join(part for part in parts if isinstance(part, str))
    if _LEGAL.fullmatch(literals) is None or (len(parts) == 1 and not legal_topic(text)):
        raise RuleError(
            place, f"{text!r} is no legal topic name: 1 to 249 of letters, digits, '.', '_' and '-', not '.' or '..'"
        )
    return Topic(text, parts)


def compile_key(place: Place, text: str) -> KeyText:
    """Make a key of its template. Raises RuleError."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RuleError(place, "has half of a surrogate pair, which UTF-8 cannot hold") from error
    return KeyText(text, _parts(place, text))


def legal_topic(name: str) -> bool:
    """Tell whether Kafka takes this name for a topic."""
    return _LEGAL.fullmatch(name) is not None and name not in {".", ".."}


def _parts(place: Place, text: str) -> tuple[str | Placeholder, ...]:
    if not text:
        raise RuleError(place, "must not be empty")
    literal, *rest = text.split("{")
    parts: list[str | Placeholder] = [literal]
    for piece in rest:
        inside, closing, literal = piece.partition("}")
        if not closing:
            raise RuleError(place, f"{text!r} opens a placeholder and does not close it")
        parts += [_placeholder(place, inside), literal]
    if any("}" in part for part in parts if isinstance(part, str)):
        raise RuleError(place, f"{text!r} closes a placeholder that is not open")
    return tuple(part for part in parts if part != "")


def _placeholder(place: Place, inside: str) -> Placeholder:
    path, colon, name = inside.partition(":")
    check_path(path, place)
    if colon and name not in _FILTERS:
        raise RuleError(place, unknown("filter", name, _FILTERS))
    return Placeholder(path, kebab=bool(colon), of_content=path.startswith(CONTENT))
