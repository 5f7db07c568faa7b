"""Difference: what is registered at Syskit Point, held against what should be. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.config.url import comparable, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.point import Endpoint


class Finding(enum.StrEnum):
    """How a registration stands: as configured, not there, or there with other types."""

    RIGHT = "right"
    MISSING = "missing"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Difference:
    """What was found of the wanted endpoint, and the types registered for it.

    `ours` are the spellings of its URL that are listed, which may have another case of the host, or name the default
    port. `listing` is all that is registered, in no order; two are equal when nothing has changed between them.
    `stale` are URLs that differ from the wanted one in their query alone: perhaps ours, with an older secret, so they
    are told and never deleted unasked. `str` is a sentence without any query.
    """

    wanted: Endpoint
    finding: Finding
    types: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    listing: frozenset[tuple[str, frozenset[str]]] = field(default=frozenset(), repr=False)

    @property
    def repeats_safely(self) -> bool:
        """Tell whether it can be registered again and again: nothing is listed that may be ours, written otherwise.

        Else each time may add another one, and every delivery would come that often.
        """
        bare = _bare(self.wanted.url).lower()
        return self.finding is Finding.MISSING and not any(_bare(url).lower() == bare for url, _ in self.listing)

    def __str__(self) -> str:
        """Say it."""
        url, types = shown(self.wanted.url), _listed(self.wanted.types)
        said = {
            Finding.RIGHT: f"{url} is registered for {types}",
            Finding.MISSING: f"{url} is not registered; it should be, for {types}",
            Finding.DIFFERENT: f"{url} is registered for {_listed(self.types)}; it should be for {types}",
        }[self.finding]
        count = len(self.stale)
        return f"{said}; so is it {'once' if count == 1 else f'{count} times'} with another query" if count else said


def difference(wanted: Endpoint, registered: Sequence[Endpoint]) -> Difference:
    """Hold what is registered against what is wanted; the order of types, and how often one stands, do not matter."""
    same = [endpoint for endpoint in registered if comparable(endpoint.url) == comparable(wanted.url)]
    ours = tuple(dict.fromkeys(endpoint.url for endpoint in same))
    types = tuple(dict.fromkeys(kind for endpoint in same for kind in endpoint.types))
    stale = tuple(each.url for each in registered if each not in same and _bare(each.url) == _bare(wanted.url))
    listing = frozenset((each.url, frozenset(each.types)) for each in registered)
    finding = Finding.RIGHT if set(types) == set(wanted.types) else Finding.DIFFERENT
    return Difference(wanted, finding if ours else Finding.MISSING, types, stale, ours, listing)


def _bare(url: str) -> str:
    return comparable(url).partition("?")[0]


def _listed(types: Sequence[str]) -> str:
    return ", ".join(types) or "no type"
