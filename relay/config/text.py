"""The texts of the configuration: paths, addresses, names and secrets, each with its own rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from pydantic_core import core_schema

from relay.config.interpolation import Placeholder
from relay.config.scalar import Scalar, near, wrong

if TYPE_CHECKING:
    from datetime import tzinfo

    from pydantic import GetCoreSchemaHandler

NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
NAME_RULE = "must be of a-z, 0-9, - and _, start with a letter or digit, and have at most 64 characters"

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.%]{2,64}\]"
_ADDRESS = re.compile(rf"(?:{_HOST}):([0-9]{{1,5}})")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that masks itself wherever it is printed; `reveal` is the one way to it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


class Text(Scalar[str]):
    """A text that a pattern matches whole; `rule` says what the pattern means."""

    def __init__(self, pattern: str, rule: str) -> None:
        """Keep the pattern and its sentence."""
        self._pattern = re.compile(pattern)
        self._rule = rule

    def parse(self, value: object) -> str:
        """Read a text; what YAML takes for a number is refused, lest `1.10` becomes 1.1."""
        return text_of(value) if isinstance(value, Placeholder) else self._matched(text_of(value))

    def _matched(self, text: str) -> str:
        """Give the text when it keeps the rule."""
        if self._pattern.fullmatch(text):
            return text
        raise wrong(self._rule)


class FilePath(Scalar[Path]):
    """The path of a file, relative to the working directory."""

    def parse(self, value: object) -> Path:
        """Read a path; whether something is there is not looked at."""
        text = text_of(value)
        if not text or "\0" in text:
            raise wrong("must be the path of a file")
        return Path(text)


class Hidden(Scalar[Secret]):
    """A secret of at least `least` bytes in UTF-8, without white space around it."""

    def __init__(self, least: int) -> None:
        """Set the least number of bytes."""
        self.least = least

    def parse(self, value: object) -> Secret:
        """Read a secret; no error says anything of it."""
        text = text_of(value)
        if text != text.strip() or text.startswith("\ufeff"):
            raise wrong("must have no white space or byte order mark around it")
        if not text:
            raise wrong("must not be empty")
        if len(text.encode()) < self.least:
            raise wrong(f"must have at least {self.least} bytes")
        return Secret(text)


class Code(Hidden):
    """A secret that stands in a URL as it is, and so has one spelling there."""

    _plain = re.compile(r"[A-Za-z0-9._~/=:@-]{1,256}")

    def parse(self, value: object) -> Secret:
        """Read a secret of at most 256 characters, none of which a URL would escape."""
        secret = super().parse(value)
        if isinstance(value, Placeholder) or self._plain.fullmatch(secret.reveal()):
            return secret
        raise wrong("must have at most 256 characters, which are letters, digits and -._~/=:@ alone")


class Zone(Scalar["tzinfo"]):
    """A time zone by its name in the tz database."""

    def parse(self, value: object) -> tzinfo:
        """Read a zone's name; offsets are no names, as they forget daylight saving."""
        text = "UTC" if isinstance(value, Placeholder) else text_of(value)
        zones = sorted(available_timezones())
        if text in zones:
            return UTC if text == "UTC" else ZoneInfo(text)
        raise wrong("must be the name of a time zone, such as UTC or Europe/Zagreb", near(text, zones))


class Servers:
    """One or more `host:port`, as a list whose items may each hold several with commas between.

    So one variable can name a whole cluster: `["${KAFKA_SERVERS}"]`.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Read each item by itself, so that a fault stands at its item, then join them."""
        item = core_schema.no_info_plain_validator_function(self.parse)
        return core_schema.no_info_after_validator_function(self._joined, core_schema.list_schema(item, min_length=1))

    def parse(self, value: object) -> tuple[str, ...]:
        """Read one item; white space around a comma is dropped."""
        text = text_of(value)
        if isinstance(value, Placeholder):
            return (text,)
        addresses = tuple(part.strip() for part in text.split(","))
        for address in addresses:
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match[1]) <= _MAX_PORT:
                raise wrong("must be host:port, such as kafka-1:9092")
        return addresses

    def _joined(self, items: list[tuple[str, ...]]) -> tuple[str, ...]:
        """Give all addresses, each once, in their order."""
        return tuple(dict.fromkeys(chain.from_iterable(items)))


def text_of(value: object) -> str:
    """Give a text as a plain `str`; raises what `wrong` makes for anything else."""
    if isinstance(value, str):
        return str(value)
    raise wrong("must be a text" + (", in quotes" if isinstance(value, int | float) else ""))


def unreadable(path: Path) -> str | None:
    """Say why a file cannot be read, None when it can."""
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return error.strerror or "it is not there"
