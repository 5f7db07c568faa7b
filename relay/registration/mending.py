"""Mending: the registration made right, with the shortest time in which it is not there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.point import NotRegistered, PointError
from relay.registration.difference import Difference, Finding, difference

if TYPE_CHECKING:
    from relay.point import Point

PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each attempt to register anew what was deleted to that end."""


async def mend(point: Point, found: Difference) -> Difference:
    """Register what is missing, or has other types, and give what is found then. Raises `PointError`.

    Whether a POST changes the types of what is registered already is not documented, so that is tried first: nothing
    is lost meanwhile. Only when it did not is the registration deleted and made anew at once.
    """
    wanted = found.wanted
    if found.finding is Finding.RIGHT:
        return found
    try:
        await point.register(wanted)
    except PointError as error:
        # Refused for good may mean that it has to be deleted first; all else would hit the second way as well.
        if found.finding is Finding.MISSING or error.curable:
            raise
    now = difference(wanted, await point.endpoints())
    if now.finding is not Finding.DIFFERENT:
        return now
    with suppress(NotRegistered):  # somebody was quicker
        await point.delete(wanted.url)
    await _register_anew(point, now)
    return difference(wanted, await point.endpoints())


async def _register_anew(point: Point, found: Difference) -> None:
    """Register what is not there any more by our own doing: more than once, since deliveries are lost meanwhile."""
    for pause in PAUSES[:-1]:
        await asyncio.sleep(pause)
        try:
            await point.register(found.wanted)
        except PointError as error:
            if not error.curable:
                raise
        else:
            return
    await asyncio.sleep(PAUSES[-1])
    await point.register(found.wanted)
