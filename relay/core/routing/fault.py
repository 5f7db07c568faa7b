"""What is wrong in a rule, and where."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Place: TypeAlias = tuple[str | int, ...]
"""A place inside a rule: `("match", "content.type", "in")`."""


class RuleError(ValueError):
    """A rule cannot be compiled.

    `path` is the place inside the rule, `what` a sentence for whoever wrote it. `others` are the
    further faults of the same rule, in order: all are told at once.
    """

    def __init__(self, path: Place, what: str) -> None:
        """Keep the place and the sentence."""
        super().__init__(what)
        self.path = path
        self.what = what
        self.others: tuple[RuleError, ...] = ()


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Say that a word is not one of those known, and which is the nearest."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"unknown {what} {word!r}: " + (f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}")
