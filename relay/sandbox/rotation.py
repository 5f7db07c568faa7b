"""Rotation: workspaces come and go, the signature key changes among them, and nothing is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from relay.sandbox.failure import Failure
from relay.sandbox.workspaces import Workspaces

if TYPE_CHECKING:
    from relay.sandbox.simulated import SimulatedPoint

RATE = 40.0  # workspaces a second, of two deliveries each
ACCEPTED = 202
AROUND = 0.5  # seconds of load before the rotation, and after it


class Rotated(NamedTuple):
    """What came of it: the fingerprints of the two keys, and how many deliveries each signed."""

    old: str
    new: str
    by_old: int
    by_new: int


async def rotate_under_load(point: SimulatedPoint) -> Rotated:
    """Rotate the key among deliveries. Raises `Failure` when the relay did not take each at its only attempt."""
    before, old = len(point.sent), point.key_id
    workspaces = Workspaces(point, RATE)
    running = asyncio.create_task(workspaces.run())
    await asyncio.sleep(AROUND)
    point.rotate()
    await asyncio.sleep(AROUND)
    workspaces.stop()
    await running
    sent = point.sent[before:]
    refused = [each.status for each in sent if each.status != ACCEPTED]
    if refused:
        raise Failure(f"{len(refused)} of {len(sent)} deliveries around a rotation were answered {set(refused)}")
    by_old = sum(each.key_id == old for each in sent)
    return Rotated(old, point.key_id, by_old, len(sent) - by_old)
