"""The lines of a file as they may be shown: nothing that could be a secret is left in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.config.interpolation import is_bare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.config.document import Document, Mark, Steps

MASK = "***"

_WIDTH = 100
_SECRET_PATHS: tuple[tuple[str | None, ...], ...] = (
    ("sources", None, "keys"),
    ("sources", None, "query"),
    ("sources", None, "point", "client_secret"),
    # A URL may be written with a password or a query in it, which is a fault that must not show them.
    ("sources", None, "point", "url"),
    ("sources", None, "point", "authority"),
    ("sources", None, "point", "register", "endpoint"),
    ("kafka", "security", "password"),
)
_WORD = re.compile(r"[^\s\[\]{},\"']+")
_STRUCTURE = re.compile(r"[-?|>]|[A-Za-z0-9_.-]+:")


def is_secret(path: Steps) -> bool:
    """Tell whether a path is, or is inside, a field that holds a secret."""
    return any(
        len(path) >= len(secret) and all(known in (None, step) for known, step in zip(secret, path, strict=False))
        for secret in _SECRET_PATHS
    )


class Lines:
    """A document's lines without its secrets and its comments, in which an old secret may stand."""

    def __init__(self, document: Document, also: Iterable[Steps]) -> None:
        """Find the secrets: what `is_secret`, and what is under the paths in `also`.

        Those are the unknown keys, as a secret may be under a misspelled one. A text that is a
        reference and nothing else is no secret, and is what the reader has to see.
        """
        self._lines = document.lines
        self._spans: dict[int, set[tuple[int, int]]] = {}
        self._ends: dict[int, int] = {}
        roots = set(also)
        for start, end in document.discarded:
            self._cover(start, end, hide=True)
        for path, place in document.places.items():
            in_secret = [is_secret(path[:length]) or path[:length] in roots for length in range(len(path) + 1)]
            if place.key:
                self._cover(*place.key, hide=any(in_secret[:-1]))
            if place.text:
                self._cover(place.start, place.end, hide=any(in_secret) and not is_bare(place.text))

    def shown(self, at: Mark) -> tuple[str, int]:
        """Give the line of a position as it may be shown, and where in it the position is."""
        line = self._lines[at.line]
        comment = line.find("#", self._ends.get(at.line, 0))
        return masked(line if comment < 0 else line[:comment], at.col, self._spans.get(at.line, ()))

    def _cover(self, start: Mark, end: Mark, *, hide: bool) -> None:
        """Note a stretch of text, which may go over several lines."""
        for number in range(start.line, min(end.line + 1, len(self._lines))):
            first = start.col if number == start.line else 0
            last = end.col if number == end.line else len(self._lines[number])
            self._ends[number] = max(self._ends.get(number, 0), last)
            if hide and first < last:
                self._spans.setdefault(number, set()).add((first, last))


def unparsed(line: str, col: int) -> tuple[str, int]:
    """Give a line that is not YAML with its keys alone: nobody knows what the other words are."""
    code = line.partition("#")[0]
    words = [match.span() for match in _WORD.finditer(code) if not _STRUCTURE.fullmatch(match[0])]
    return masked(code, col, words)


def masked(line: str, col: int, spans: Iterable[tuple[int, int]]) -> tuple[str, int]:
    """Give a line with its spans masked, cut to a terminal's width, and where `col` is in it."""
    text, caret, at = "", col, 0
    for start, end in sorted(spans):
        if start < at:
            continue
        text += line[at:start]
        if col >= end:
            caret += len(MASK) - (end - start)
        elif col >= start:
            caret = len(text)
        text += MASK
        at = end
    text = "".join(char if char.isprintable() else " " for char in text + line[at:]).rstrip()
    cut = max(0, caret - _WIDTH // 2) if len(text) > _WIDTH else 0
    return text[cut : cut + _WIDTH], caret - cut
