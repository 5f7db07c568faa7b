"""What the standard library's parser says of a JSON text: slow, separate, and free to recurse."""

from __future__ import annotations

import json
from typing import NoReturn


class Members(list[tuple[str, object]]):
    """An object as its members stand in the text, repeats included; unlike a list, which is an array."""


class NotJSONError(ValueError):
    """The text is not JSON, or nests too deep for this parser to tell."""


def read(text: bytes) -> object:
    """Read one JSON value; numbers stay as they are written. Raises NotJSONError."""
    try:
        return json.loads(
            text.decode(), object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise NotJSONError from error


class Number(str):
    """A number as it is written, unlike a text."""

    __slots__ = ()

    @property
    def is_finite(self) -> bool:
        """Tell whether a double holds it; JSON's grammar has no bound."""
        return abs(float(self)) != float("inf")


def depth_of(value: object) -> int:
    """Count how deep arrays and objects stand within one another."""
    inner = [depth_of(one) for one in _inside(value)]
    return 1 + max(inner, default=0) if isinstance(value, list) else 0


def is_plain(value: object) -> bool:
    """Tell whether UTF-8 holds every text of a value, and a double every number: what any reader can take."""
    if isinstance(value, Number):
        return value.is_finite
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    names = all(map(is_plain, (name for name, _ in value))) if isinstance(value, Members) else True
    return names and all(map(is_plain, _inside(value)))


def repeats(members: Members) -> bool:
    """Tell whether a key stands twice among the members."""
    return len({name for name, _ in members}) < len(members)


def only(members: Members, name: str) -> object:
    """Give the value of a member that is not repeated; None when it is missing."""
    return dict(members).get(name)


def _inside(value: object) -> list[object]:
    if isinstance(value, Members):
        return [one for _, one in value]
    return list(value) if isinstance(value, list) else []


def _refuse(constant: str) -> NoReturn:
    raise NotJSONError(constant)
