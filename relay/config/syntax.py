"""YAML 1.2 as the relay reads it: libyaml's nodes, tagged by the core schema (YAML 1.2.2, 10.3).

PyYAML's own loaders read YAML 1.1, where `on` is true and `010` is 8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from yaml._yaml import CParser
from yaml.resolver import BaseResolver

if TYPE_CHECKING:
    from yaml._yaml import Mark as CMark
    from yaml.error import Mark

# YAML 1.1, which libyaml counts lines by, knows six line breaks.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

MAX_DEPTH = 50
MAX_DIGITS = 30

_TAG = "tag:yaml.org,2002:"
_CORE = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
)


class UnreadableError(Exception):
    """A text that is not YAML; `line` and `col` count from zero."""

    def __init__(self, what: str, line: int = 0, col: int = 0, hint: str | None = None) -> None:
        """Keep the sentence, the position and perhaps some advice."""
        super().__init__(what)
        self.what = what
        self.line = line
        self.col = col
        self.hint = hint


class _Composer(CParser, BaseResolver):
    """libyaml's parser and composer, with the implicit tags of the core schema and no others."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        BaseResolver.__init__(self)


for _name, _pattern, _first in _CORE:
    _Composer.add_implicit_resolver(_TAG + _name, _pattern, _first)


def split(text: str) -> tuple[str, ...]:
    """Give the lines of a text, as libyaml counts them."""
    return tuple(_BREAK.split(text))


def compose(text: str) -> yaml.Node | None:
    """Give the root node of a text's one document, None when it is empty; raises `UnreadableError`."""
    try:
        _check_depth(text)
        return _Composer(text).get_single_node()
    except yaml.reader.ReaderError as error:
        lines = split(text.encode()[: error.position].decode(errors="ignore"))
        raise UnreadableError(f"is not YAML: {error.reason}", len(lines) - 1, len(lines[-1])) from None
    except yaml.MarkedYAMLError as error:
        raise _unreadable(text, error) from None


def value_of(node: yaml.ScalarNode) -> object:
    """Give a scalar's value by its tag; raises ValueError with a sentence for what has none here."""
    text = node.value
    name = node.tag.removeprefix(_TAG)
    pattern = next((pattern for known, pattern, _ in _CORE if known == name), None)
    if name == "str":
        return text
    if pattern is None or not pattern.match(text):
        raise ValueError(f"has the tag {node.tag.replace(_TAG, '!!')}, which is not possible here; leave it out")
    if name == "null":
        return None
    if name == "bool":
        return text.lower() == "true"
    if len(text) > MAX_DIGITS:
        raise ValueError(f"is a number of more than {MAX_DIGITS} characters; put it in quotes if it is text")
    return _whole(text) if name == "int" else float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _unreadable(text: str, error: yaml.MarkedYAMLError) -> UnreadableError:
    """Say what libyaml says, and what is known to be behind it."""
    context = f"{error.context}, " if error.context else ""
    lines = split(text)
    line, col = _position(error.problem_mark)
    if line >= len(lines) - 1 and not lines[-1].strip():
        line, col = _position(error.context_mark or error.problem_mark)  # at the end: where it began says more
    if line >= len(lines):
        line, col = len(lines) - 1, len(lines[-1])
    here = lines[line]
    if here[col : col + 1] == "\t":
        return UnreadableError("is not YAML: a tab stands where only spaces may", line, col)
    hint = 'a reference belongs in quotes: "${VAR}"' if re.search(r"[^\"']\$\{", here) else None
    return UnreadableError(f"is not YAML: {context}{error.problem}", line, col, hint)


def _whole(text: str) -> int:
    """Give an integer of the core schema: a leading zero means nothing, `0o` is octal."""
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _check_depth(text: str) -> None:
    """Refuse deep nesting before libyaml composes, which recurses on the C stack."""
    depth = 0
    parser = _Composer(text)
    while (event := parser.get_event()) is not None:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nests more than {MAX_DEPTH} levels deep", *_position(event.start_mark))


def _position(mark: Mark | CMark | None) -> tuple[int, int]:
    """Take the line and the column of libyaml's mark, the beginning when there is none."""
    return (mark.line, mark.column) if mark else (0, 0)
