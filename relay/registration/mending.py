"""Mending: the registration made right, with the shortest time in which it is not there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.point import NotRegistered, PointError
from relay.registration.difference import Difference, Finding, difference

if TYPE_CHECKING:
    from relay.point import Endpoint, Point

PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each attempt to register anew what was deleted to that end."""

GRACE = 15.0
"""Seconds that a deletion and what follows it go on after the relay was told to stop."""


class UnmendedError(PointError):
    """All was tried and did not help; `found` is what is registered now.

    What is missing then can be registered again, which loses nothing, unless it is there in another spelling. What is
    there with other types can not: it would be deleted each time.
    """

    def __init__(self, found: Difference, why: str) -> None:
        """Say what is registered all the same, why, and what is to be expected."""
        next_time = (
            "it is registered again at the next look"
            if found.repeats_safely
            else "nothing more is done until what Syskit Point lists changes"
        )
        super().__init__(f"{found}; {why}; {next_time}")
        self.found = found


async def mend(point: Point, found: Difference) -> Difference:
    """Register what is missing, or has other types, and give what is found then, which is right.

    Raises `PointError`, and of these `UnmendedError` when the API did what it was told and it is still not right.

    Whether a POST changes the types of what is registered already is not documented, so that is tried first: nothing
    is lost meanwhile, and what is refused ends here. Only when it was taken and changed nothing is the registration
    deleted and made anew at once; when that fails, it gets the types it had.
    """
    wanted = found.wanted
    if found.finding is Finding.RIGHT:
        return found
    await point.register(wanted)
    now = difference(wanted, await point.endpoints())
    if now.finding is Finding.DIFFERENT:
        await _to_its_end(point, now)
        now = difference(wanted, await point.endpoints())
    if now.finding is not Finding.RIGHT:
        why = "Syskit Point was told so, and lists it otherwise: compare endpoint and types with its webhook settings"
        raise UnmendedError(now, why)
    return now


async def _to_its_end(point: Point, found: Difference) -> None:
    """Delete and register anew, also when the relay stops meanwhile: what is not registered loses deliveries."""
    work = asyncio.create_task(_make_anew(point, found))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work], timeout=GRACE)
        raise
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _make_anew(point: Point, found: Difference) -> None:
    """Delete and register what is wanted; when that fails, what was there."""
    for url in found.ours:
        with suppress(NotRegistered):  # somebody was quicker
            await point.delete(url)
    try:
        await _register(point, found.wanted)
    except PointError as error:
        if not found.types:
            raise
        await _register(point, replace(found.wanted, types=found.types))
        now = difference(found.wanted, await point.endpoints())
        raise UnmendedError(
            now, f"it was registered again with the types it had, as others failed ({error})"
        ) from error


async def _register(point: Point, endpoint: Endpoint) -> None:
    """Register what is not there by our own doing: more than once, since deliveries are lost meanwhile."""
    for pause in PAUSES[:-1]:
        await asyncio.sleep(pause)
        try:
            await point.register(endpoint)
        except PointError as error:
            if not error.curable:
                raise
        else:
            return
    await asyncio.sleep(PAUSES[-1])
    await point.register(endpoint)
