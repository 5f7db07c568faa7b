"""Faults of the network between the relay and its brokers: reset, silent, deaf, slow."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.faults.fault import Fault
from tests.faults.processes import NOTICED, SHORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.sandbox.proxy import Proxy
    from tests.faults.scene import Scene

LATE = 0.2  # seconds for each piece of data, in both directions


def reset(scene: Scene) -> None:
    """Every connection is reset, again and again, and none can be made for a while."""
    for _ in range(3):
        with through(scene, lambda proxy: proxy.cut()):
            scene.run_for(scene.chance.uniform(0, 2))
        scene.run_for(scene.chance.uniform(0, 1))


def swallow(scene: Scene) -> None:
    """A black hole: nothing comes through, and nothing is closed, for longer than a batch is waited for."""
    with through(scene, lambda proxy: proxy.freeze()):
        scene.run_for(NOTICED)


def deafen(scene: Scene) -> None:
    """Brokers store what is sent, and the relay hears nothing of it: every batch in flight is in doubt."""
    with through(scene, lambda proxy: proxy.deafen()):
        scene.run_for(NOTICED)


def slow_down(scene: Scene) -> None:
    """Each piece of data comes 200 ms late."""
    with through(scene, lambda proxy: proxy.slow(LATE)):
        scene.run_for(NOTICED)


@contextmanager
def through(scene: Scene, strike: Callable[[Proxy], None]) -> Iterator[None]:
    """Do it to the way to every broker for a while; whatever happens, it is undone."""
    with ExitStack() as stack:
        for proxy in scene.proxies:
            stack.callback(proxy.heal)
            strike(proxy)
        yield


FAULTS = (
    Fault("connections reset", reset, by_door=True, part="network"),
    Fault("black hole", swallow, SHORT, by_door=True, part="network"),
    Fault("answers withheld", deafen, SHORT, by_door=True, part="network"),
    Fault("200 ms late", slow_down, by_door=True, part="network"),
)
