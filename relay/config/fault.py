"""What is wrong with a configuration file, said so that its reader can mend it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where.

    `line` and `col` count from one, in characters. `path` is the dotted way to the value, empty for
    the file itself. `got` is the value as written, `***` for a secret, None where there is none.
    `source` is the line of the file with its secrets masked, and `caret` an offset into it.
    """

    file: str
    line: int
    col: int
    path: str
    what: str
    got: str | None = None
    hint: str | None = None
    source: str = ""
    caret: int = 0

    def render(self, *, color: bool) -> str:
        """Write the fault as `file:line:col: path: what (got ...)`, the line, a caret, and the hint."""
        bold, red, plain = (_BOLD, _RED, _PLAIN) if color else ("", "", "")
        path = f"{self.path}: " if self.path else ""
        got = "" if self.got is None else f" (got {self.got})"
        rows = [f"{bold}{self.file}:{self.line}:{self.col}:{plain} {path}{self.what}{got}"]
        if self.source:
            rows += [f"    {self.source}", f"    {' ' * _width(self.source[: self.caret])}{red}^{plain}"]
        if self.hint:
            rows.append(f"    {self.hint}")
        return "\n".join(rows)


class Faulty(Exception):  # noqa: N818 - it is the file that is faulty, and that is the word for it
    """A configuration that cannot be used: all its faults, in the order of the file."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        """Keep the faults, of which there is at least one."""
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return self.render(color=False)

    def render(self, color: bool) -> str:  # noqa: FBT001 - the one thing to say about a rendering
        """Write every fault, one after the other; `color` adds ANSI escapes. Never shows a secret."""
        return "\n".join(fault.render(color=color) for fault in self.faults)


def _width(text: str) -> int:
    """Count the columns a terminal gives to a text: two for a wide character."""
    return sum(2 if unicodedata.east_asian_width(char) in "FW" else 1 for char in text)
