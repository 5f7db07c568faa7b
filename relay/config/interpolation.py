"""`${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:PATH}` and `$$` inside string values.

It happens after parsing, so that what a variable holds can never become structure. What came of it
is marked by its type: it is masked in every fault, and number fields read it as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE = 64 * 1024

_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<mark>[-?])(?P<rest>.*))?", re.DOTALL)
_BARE = re.compile(r"\$\{(?:file:[^}]+|[A-Za-z_][A-Za-z0-9_]*(?::\?[^}]*)?)\}")


class Interpolated(str):
    """A text that a variable or a file had a part in."""

    __slots__ = ()


class Placeholder(Interpolated):
    """A text that stands for one that is not known: it fits every field, and none is faulty for it."""

    __slots__ = ()


class UnresolvedError(Exception):
    """A reference that gives no text; the sentence says what to do, and holds no secret."""


class Interpolation:
    """Fills references from an environment and from files.

    With `secrets` False no file is read and an unset variable is no error: a placeholder of at
    least 16 bytes, different each time, stands for the text.
    """

    def __init__(self, environ: Mapping[str, str], *, secrets: bool) -> None:
        """Keep the environment; nothing is read before it is asked for."""
        self.secrets = secrets
        self._environ = environ
        self._placeholders = 0

    def fill(self, text: str) -> str:
        """Give the text with its references filled; raises `UnresolvedError`.

        A text without any comes back as it is, else the answer is `Interpolated` or `Placeholder`.
        """
        if "$" not in text:
            return text
        known = True
        parts, at = [], 0
        for match in _REFERENCE.finditer(text):
            part = "$" if match[0] == "$$" else self._look_up(match)
            if part is None:
                known = False
                part = self.placeholder()
            parts += [text[at : match.start()], part]
            at = match.end()
        if not parts:
            return text
        filled = "".join(parts) + text[at:]
        return Interpolated(filled) if known else Placeholder(filled)

    def placeholder(self) -> Placeholder:
        """Give a text that no other placeholder has."""
        self._placeholders += 1
        return Placeholder(f"placeholder-{self._placeholders:06d}")

    def _look_up(self, match: re.Match[str]) -> str | None:
        """Give what a `${...}` stands for, or None when it is not known and need not be."""
        inside = match[1]
        if not match[2]:
            raise UnresolvedError("opens `${` without closing it; write `$${` for the characters themselves")
        if "${" in inside:
            raise UnresolvedError("puts one `${...}` into another, which is not possible")
        if inside.startswith("file:"):
            return read_secret(inside.removeprefix("file:")) if self.secrets else None
        variable = _VARIABLE.fullmatch(inside)
        if variable is None:
            raise UnresolvedError(
                "is no reference: there are ${VAR}, ${VAR:-default}, ${VAR:?message} and ${file:PATH}, and $$ for a $"
            )
        return self._variable(**variable.groupdict())

    def _variable(self, name: str, mark: str | None, rest: str | None) -> str | None:
        """Give a variable's text. As in a shell, `:-` and `:?` take an empty one for unset."""
        text = self._environ.get(name)
        if text is not None and (text or mark is None):
            if not _encodes(text):
                raise UnresolvedError(f"takes the variable {name}, which is not UTF-8")
            return text
        if mark == "-":
            return rest
        if not self.secrets:
            return None
        state = "not set" if text is None else "empty"
        if mark == "?" and rest:
            raise UnresolvedError(f"takes the variable {name}, which is {state}: {rest}")
        advice = f"; set it, or write ${{{name}:-default}}" if mark is None else ""
        raise UnresolvedError(f"takes the variable {name}, which is {state}{advice}")


def is_bare(text: str) -> bool:
    """Tell whether a text is one reference and nothing else, so that showing it shows no secret."""
    return _BARE.fullmatch(text) is not None


def read_secret(name: str) -> str:
    """Read a file of UTF-8 text, less one final LF or CRLF; raises `UnresolvedError`.

    At most `MAX_FILE` bytes. A relative path is relative to the working directory. An editor adds
    the line end, a person means no other white space: it would silently be part of a key.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_FILE + 1)
        text = content.decode()
    except UnicodeDecodeError:
        raise UnresolvedError(f"takes the file {name}, which is not UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not legal"
        raise UnresolvedError(f"takes the file {name}, which cannot be read: {why}") from None
    if len(content) > MAX_FILE:
        raise UnresolvedError(f"takes the file {name}, which is longer than {MAX_FILE // 1024} KiB")
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise UnresolvedError(f"takes the file {name}, which is empty")
    if text.startswith("\ufeff"):
        raise UnresolvedError(f"takes the file {name}, which begins with a byte order mark; save it without one")
    if text != text.strip():
        raise UnresolvedError(
            f"takes the file {name}, which has white space around its text; only one final line end is dropped"
        )
    return text


def _encodes(text: str) -> bool:
    """Tell whether a text can be written as UTF-8; a variable with other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
