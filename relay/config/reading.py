"""One reading of a document: sections are asked for by type, and every fault is gathered."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from relay.config.fault import Fault, Faulty
from relay.config.interpolation import Interpolated, Placeholder
from relay.config.mask import MASK, Lines, is_secret
from relay.config.scalar import near

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from relay.config.document import Document, Mark, Steps

T = TypeVar("T")

_MAX_GOT = 60
_LEAST_REDACTED = 4
_SENTENCES = {
    "missing": "is missing",
    "dataclass_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must have at least one entry",
    "too_long": "has too many entries",
}
_UNKNOWN = "unexpected_keyword_argument"


@dataclass(frozen=True, slots=True)
class _Found:
    """A fault before its lines are known to be safe to show."""

    path: Steps
    at: Mark
    what: str
    got: str | None
    hint: str | None


class Reading:
    """What has been found of a document so far."""

    def __init__(self, file: str, document: Document) -> None:
        """Begin with the problems of form that the document already has."""
        self.document = document
        self._file = file
        self._found: list[_Found] = []
        self._closed: set[Steps] = set()
        self._unknown: list[Steps] = []
        self._adapters: dict[type, TypeAdapter[Any]] = {}
        for problem in document.problems:
            at = problem.at or document.place(problem.path).start
            self._found.append(_Found(problem.path, at, problem.what, None, None))
            if problem.at is None:
                self._closed.add(problem.path)

    def part(self, kind: type[T], path: Steps) -> T | None:
        """Give the section at a path as a value of `kind`, or None when it has faults, now gathered.

        A section that is absent or null is an empty one, so that all its keys may be comments.
        """
        value = self.document.at(path)
        try:
            part: T = self._adapter(kind).validate_python({} if value is None else value)
        except ValidationError as errors:
            for error in errors.errors(include_url=False, include_input=False):
                self._take(kind, path, error)
            return None
        return part

    def fault(
        self, path: Steps, what: str, *, hint: str | None = None, at_key: bool = False, absent: bool = False
    ) -> None:
        """Add a fault of the value at a path, or of its key, or of its absence.

        At or under a path that has one already it would be a consequence, and is left out.
        """
        if any(path[:length] in self._closed for length in range(len(path) + 1)):
            return
        self._closed.add(path)
        place = self.document.place(path)
        at = place.key[0] if place.key and (at_key or absent) else place.start
        got = None if at_key or absent else self._got(path, what)
        self._found.append(_Found(path, at, what, got, hint))

    def finish(self) -> None:
        """Raise `Faulty` with all that was found, in the order of the file, if there is anything."""
        if not self._found:
            return
        lines = Lines(self.document, self._unknown)
        secrets = sorted(self._secrets(), key=len, reverse=True)

        def clean(text: str) -> str:
            return functools.reduce(lambda said, secret: said.replace(secret, MASK), secrets, text)

        faults = []
        for found in sorted(self._found, key=lambda found: found.at):
            source, caret = lines.shown(found.at)
            hint = clean(found.hint) if found.hint else None
            place = (found.at.line + 1, found.at.col + 1, clean(dotted(found.path)))
            faults.append(Fault(self._file, *place, clean(found.what), found.got, hint, source, caret))
        raise Faulty(tuple(faults))

    def _take(self, kind: type, path: Steps, error: ErrorDetails) -> None:
        """Turn one error of pydantic into a fault."""
        where = (*path, *error["loc"])
        context = error.get("ctx", {})
        if error["type"] == _UNKNOWN:
            self._unknown.append(where)
            names = _names(kind, error["loc"][:-1])
            hint = near(str(where[-1]), names) or f"known here: {', '.join(names)}"
            self.fault(where, "is not a key that is known here", hint=hint, at_key=True)
            return
        what = context["what"] if error["type"] == "wrong" else _SENTENCES.get(error["type"], error["msg"])
        self.fault(where, what, hint=context.get("hint"), absent=error["type"] == "missing")

    def _adapter(self, kind: type) -> TypeAdapter[Any]:
        """Compile the validation of a type, once for all its sections."""
        if kind not in self._adapters:
            self._adapters[kind] = TypeAdapter(kind)
        return self._adapters[kind]

    def _got(self, path: Steps, what: str) -> str | None:
        """Show the value at a path, unless the sentence already quotes it."""
        value = self.document.at(path)
        if isinstance(value, dict | list):
            empty = "a" if value else "an empty"
            return f"{empty} mapping" if isinstance(value, dict) else f"{empty} list"
        if is_secret(path) or isinstance(value, Interpolated):
            return MASK
        if isinstance(value, str) and repr(value) in what:
            return None
        written = self.document.place(path).text or "nothing"
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else written
        return text if len(text) <= _MAX_GOT else f"{text[:_MAX_GOT]}..."

    def _secrets(self) -> Iterator[str]:
        """Give all texts that no sentence may hold, as they are and as Python would quote them."""
        for path in self.document.places:
            value = self.document.at(path)
            if not isinstance(value, str) or isinstance(value, Placeholder) or len(value) < _LEAST_REDACTED:
                continue
            if is_secret(path) or isinstance(value, Interpolated):
                yield from {str(value), repr(str(value))[1:-1]}


def dotted(path: Steps) -> str:
    """Write a path as a person would: `routes[0].match.content.type`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _names(kind: type, path: Steps) -> list[str]:
    """List the keys that a section has, or one of the sections inside it."""
    hints = get_type_hints(kind, include_extras=True)
    if path:
        return _names(hints[str(path[0])], path[1:])
    aliases = {
        name: part.alias
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, FieldInfo) and part.alias
    }
    return [aliases.get(field.name, field.name) for field in dataclasses.fields(kind)]
