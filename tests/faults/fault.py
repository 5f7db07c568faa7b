"""Fault: something that is done to the relay or to its brokers, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.scene import Scene


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` does it to a scene under load, and returns once the cause is gone; what follows is recovery.

    `sections` go over the relay's configuration. `by_door`: the relay reaches the brokers through proxies.
    A `grave` one may last a minute, and is left to the long run.
    """

    name: str
    strike: Callable[[Scene], None]
    sections: Mapping[str, object] = field(default_factory=dict)
    by_door: bool = False
    grave: bool = False
