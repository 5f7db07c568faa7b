"""The scalars of the configuration: each reads one value, or says what it should have been.

They annotate the fields in `model` and `entry`, so that a bound stands once, beside the default.
Only files are checked by them: a value built in code is not.
"""

from __future__ import annotations

import difflib
import enum
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic_core import PydanticCustomError, core_schema

from relay.config.interpolation import Interpolated, Placeholder

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}")
_SIZE = re.compile(r"([0-9]{1,15})(|B|KiB|MiB|GiB|TiB)")
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")


def wrong(what: str, hint: str | None = None) -> PydanticCustomError:
    """Make the error of a value: a sentence that begins with a verb, and perhaps some advice."""
    return PydanticCustomError("wrong", "{what}", {"what": what, "hint": hint})


def near(word: str, known: list[str]) -> str | None:
    """Ask whether a known word was meant, None when none is close."""
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    return next((f"did you mean {name}?" for name in known if close and name.lower() == close[0]), None)


class Scalar(ABC, Generic[T]):
    """One kind of scalar, as pydantic asks for it in an `Annotated` field."""

    @abstractmethod
    def parse(self, value: object) -> T:
        """Give the value read, or raise what `wrong` makes. A placeholder is always good."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let `parse` be all of the validation."""
        return core_schema.no_info_plain_validator_function(self.parse)


class Whole(Scalar[int]):
    """A whole number from `low` to `high`, or `besides`. Decimal text counts when a reference gave it."""

    def __init__(self, low: int, high: int, *, besides: int | None = None) -> None:
        """Set the bounds, both inclusive."""
        self.low = low
        self.high = high
        self.besides = besides

    def parse(self, value: object) -> int:
        """Read a number; a quoted one is refused, as YAML has numbers."""
        if isinstance(value, Placeholder):
            return self.low
        if isinstance(value, Interpolated) and _DECIMAL.fullmatch(value):
            value = int(value)
        if type(value) is int and (self.low <= value <= self.high or value == self.besides):
            return value
        bounds = str(self.low) if self.low == self.high else f"from {self.low} to {self.high}"
        besides = "" if self.besides is None else f", or {self.besides}"
        number = "" if type(value) is int or self.low == self.high else "a whole number "
        quoted = ", without quotes" if isinstance(value, str) and _DECIMAL.fullmatch(value) else ""
        raise wrong(f"must be {number}{bounds}{besides}{quoted}")


class Flag(Scalar[bool]):
    """A `true` or `false`, as text too when a reference gave it."""

    def parse(self, value: object) -> bool:
        """Read a flag; `on`, `yes` and 1 are none in YAML 1.2."""
        if isinstance(value, Placeholder):
            return False
        if isinstance(value, Interpolated) and value in {"true", "false"}:
            return value == "true"
        if isinstance(value, bool):
            return value
        raise wrong("must be true or false")


class Size(Scalar[int]):
    """A number of bytes: `512KiB`, `1MiB`, or a plain number."""

    def __init__(self, low: str, high: str) -> None:
        """Set the bounds, both inclusive, as the file would write them."""
        self.low = low
        self.high = high

    def parse(self, value: object) -> int:
        """Read a size into bytes."""
        if isinstance(value, Placeholder):
            return _bytes(self.low)
        if type(value) is int or (isinstance(value, str) and _SIZE.fullmatch(value)):
            size = _bytes(str(value))
            if _bytes(self.low) <= size <= _bytes(self.high):
                return size
            raise wrong(f"must be from {self.low} to {self.high}")
        raise wrong(f"must be a size from {self.low} to {self.high}, in B, KiB, MiB, GiB or TiB")


class Duration(Scalar[float]):
    """A length of time: `500ms`, `10s`, `2m`, `12h`, `7d`."""

    def __init__(self, low: str, high: str) -> None:
        """Set the bounds, both inclusive, as the file would write them."""
        self.low = low
        self.high = high

    def parse(self, value: object) -> float:
        """Read a duration into seconds; a number without its unit is refused."""
        if isinstance(value, Placeholder):
            return _seconds(self.low)
        if isinstance(value, str) and _TIME.fullmatch(value):
            seconds = _seconds(value)
            if _seconds(self.low) <= seconds <= _seconds(self.high):
                return seconds
            raise wrong(f"must be from {self.low} to {self.high}")
        raise wrong(f"must be a duration from {self.low} to {self.high}, with its unit: ms, s, m, h or d")


class Choice(Scalar[E]):
    """One word of a closed list."""

    def __init__(self, kind: type[E]) -> None:
        """Take the words from an enumeration."""
        self.kind = kind

    def parse(self, value: object) -> E:
        """Read a word; case matters, the advice finds the right one."""
        words = [member.value for member in self.kind]
        if isinstance(value, Placeholder):
            return self.kind(words[0])
        if isinstance(value, str) and value in words:
            return self.kind(value)
        raise wrong(f"must be one of {', '.join(words)}", near(value, words) if isinstance(value, str) else None)


def _bytes(text: str) -> int:
    """Turn a size into bytes; a negative number stays one, for the bounds to refuse."""
    digits = text.rstrip("BKMGTi")
    return int(digits) * _SIZE_UNITS[text[len(digits) :]]


def _seconds(text: str) -> float:
    """Turn a duration into seconds."""
    digits = text.rstrip("msdh")
    return float(digits) * _TIME_UNITS[text[len(digits) :]]
