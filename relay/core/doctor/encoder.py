"""Encoder: one JSON value, as other people's encoders write it."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from relay.core.members import deeper_than
from relay.core.outline import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class Layout(NamedTuple):
    """How an encoder sets white space: `indent` and `separators` as `json.dumps` has them."""

    name: str
    indent: int | str | None
    separators: tuple[str, str]


LAYOUTS = (
    Layout("without white space", None, (",", ":")),
    Layout("with a space behind each sign", None, (", ", ": ")),
    Layout("indented by 2", 2, (",", ": ")),
    Layout("indented by 4", 4, (",", ": ")),
    Layout("indented by a tab", "\t", (",", ": ")),
)


DOCUMENTED = (
    "name", "type", "content", "meta", "requestedOn", "requesterId", "url", "microsoftId", "error", "correlationId",
    "timeStamp", "idempotencyKey",
)  # fmt: skip
"""The members of a delivery in the vendor's order: for the whole, its content and its meta at once, as none of them
has two in another order."""
PLACES = {name: place for place, name in enumerate(DOCUMENTED)}


class Escapes(NamedTuple):
    """What an encoder escapes in a string beyond what JSON asks for: each sign by `escape`, a format of its number."""

    name: str
    signs: re.Pattern[str]
    escape: str


# System.Text.Json escapes by default what could mean something in HTML, and all that is not ASCII. It also
# writes \u0022 where others write \", which is the one pair of signs here.
DOTNET = re.compile(r"\\\"|[&'+<>`\u007f-\U0010ffff]")
ESCAPES = (
    Escapes("what is not ASCII escaped", re.compile(r"[\u007f-\U0010ffff]"), "\\u{:04x}"),
    Escapes("what is not ASCII escaped in upper case", re.compile(r"[\u0080-\U0010ffff]"), "\\u{:04X}"),
    Escapes("escaped as System.Text.Json of .NET does", DOTNET, "\\u{:04X}"),
    Escapes("escaped as Go does", re.compile("[&<>\u2028\u2029]"), "\\u{:04x}"),
    Escapes("escaped as Gson does", re.compile("[&'<=>\u2028\u2029]"), "\\u{:04x}"),
    Escapes("its slashes escaped", re.compile("/"), "\\/"),
    Escapes("escaped as PHP does", re.compile(r"[/\u0080-\U0010ffff]"), "\\u{:04x}"),
)


def encodings(text: str) -> Iterator[tuple[str, bytes]]:
    """Give the JSON `text` in every layout and manner, each with a name for it; nothing where it is no JSON.

    An object that has a member twice, and numbers, are written as Python writes what it read.
    """
    if deeper_than(text.encode(), MAX_DEPTH):
        return
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        orders = (
            ("", value, False),
            (", its keys sorted", value, True),
            (", its keys in the vendor's order", _documented(value), False),
        )
        for layout, (order, ordered, by_name) in itertools.product(LAYOUTS, orders):
            plain = json.dumps(
                ordered, indent=layout.indent, separators=layout.separators, ensure_ascii=False, sort_keys=by_name
            )
            name = layout.name + order
            yield from _ended(name, plain)
            for by in ESCAPES[:1] if order else ESCAPES:
                yield from _ended(f"{name}, {by.name}", _escaped(plain, by))


def _documented(value: object) -> object:
    """Give a JSON value with the members of its objects as the vendor's documentation orders them, then the others.

    The documentation once has a space behind a name.
    """
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: PLACES.get(name.strip(), len(PLACES)))
        return {name: _documented(value[name]) for name in names}
    return [_documented(one) for one in value] if isinstance(value, list) else value


def _ended(name: str, text: str) -> Iterator[tuple[str, bytes]]:
    """Give it with either end of a line, and as a file that ends in one."""
    for lines, end in (("", "\n"), (", lines in CR and LF", "\r\n")):
        written = text.replace("\n", end)
        yield f"it was JSON {name}{lines}", written.encode("utf-8", "surrogatepass")
        yield (
            f"it was JSON {name}{lines}, and one more end of a line behind it",
            (written + end).encode("utf-8", "surrogatepass"),
        )


def _escaped(plain: str, by: Escapes) -> str:
    """Escape the strings of a JSON text; what JSON itself asks for is escaped in it already."""
    return STRING.sub(lambda string: f'"{by.signs.sub(lambda sign: _escape(sign[0], by), string[0][1:-1])}"', plain)


def _escape(sign: str, by: Escapes) -> str:
    if sign == "/":
        return "\\/"
    units = sign[-1].encode("utf-16-be", "surrogatepass")  # a sign beyond the first plane is two escapes
    return "".join(by.escape.format(int.from_bytes(units[at : at + 2])) for at in range(0, len(units), 2))
