"""Combination: faults of different parts that are struck at once, chosen by a seed."""

from __future__ import annotations

import copy
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.faults.fault import Fault, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.scene import Scene

LATER = 3.0  # seconds between the first and the last, at most
AND = " + "


def choose(faults: Iterable[Fault], seed: int) -> Fault:
    """Choose two or three, each of another part, and give the combination of them."""
    chance = random.Random(seed)
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        if fault.part == "several":
            continue
        kinds.setdefault(fault.part, []).append(fault)
    return combine([chance.choice(kinds[part]) for part in chance.sample(sorted(kinds), chance.choice((2, 2, 3)))])


def combine(parts: Sequence[Fault]) -> Fault:
    """Give the fault that is all of these at once; begun within some seconds, each ends when it ends by itself.

    Raises `ValueError` when two are of one part, as nobody can say what these come to.
    """
    if len(parts) == 1:
        return parts[0]
    if len({fault.part for fault in parts} - {"several"}) < len(parts):
        raise ValueError(f"{', '.join(fault.name for fault in parts)}: they would be done to the same part")

    def strike(scene: Scene) -> None:
        with ThreadPoolExecutor(len(parts)) as pool:
            struck = [pool.submit(_begin, fault, _apart(scene)) for fault in parts]
        for one in struck:
            one.result()

    sections: dict[str, object] = {}
    for fault in parts:
        for name, section in fault.sections.items():
            sections[name] = {**sections.get(name, {}), **section}  # type: ignore[dict-item] # sections are mappings
    stages = [fault.stage for fault in parts if fault.stage is not plain]
    name = AND.join(fault.name for fault in parts)
    by_door = any(fault.by_door for fault in parts)
    return Fault(name, strike, sections, by_door=by_door, stage=stages[0] if stages else plain)


def _apart(scene: Scene) -> Scene:
    """Give the same scene with a chance of its own, so that it does not matter who draws first."""
    apart = copy.copy(scene)
    apart.chance = random.Random(scene.chance.getrandbits(64))
    return apart


def _begin(fault: Fault, scene: Scene) -> None:
    scene.run_for(scene.chance.uniform(0, LATER))
    fault.strike(scene)
