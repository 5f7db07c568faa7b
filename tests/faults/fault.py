"""Fault: something that is done to the relay or to its brokers, by name."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.faults.scene import Scene

    Stage = Callable[[Path], AbstractContextManager[Mapping[str, str]]]
    Part = Literal["relay", "brokers", "topics", "network", "several"]


@contextmanager
def plain(folder: Path) -> Iterator[Mapping[str, str]]:
    """Let the relay run as it is, with its spool in the folder's `disk`."""
    (folder / "disk").mkdir()
    yield {}


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` does it to a scene under load, and returns once the cause is gone; what follows is recovery.

    `part` is what it is done to: faults of different parts can be struck at once, but for `several`. `sections` go
    over the relay's configuration. `by_door`: the relay reaches the brokers through proxies. `stage` makes what the
    fault needs in the episode's folder, its `disk` for the spool among it, and gives what goes over the relay's
    environment.
    The long run strikes it `often` times as often as others.
    """

    name: str
    strike: Callable[[Scene], None]
    sections: Mapping[str, object] = field(default_factory=dict)
    by_door: bool = False
    part: Part = "brokers"
    stage: Stage = plain
    often: int = 1
