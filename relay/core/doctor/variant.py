"""Variant: one way in which an ingredient of a signature may have been made."""

from __future__ import annotations

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"


class Mistake(NamedTuple):
    """One thing that was done otherwise than the relay expects, and what mends it."""

    what: str
    mend: str


class Variant(NamedTuple):
    """The ingredient's bytes, and the mistakes by which they came about; none where there is none."""

    value: bytes
    mistakes: tuple[Mistake, ...] = ()
