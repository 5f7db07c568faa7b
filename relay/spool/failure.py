"""What SQLite and the disk say, as the fate of those who wait."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

from relay.core.errors import Cause, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class Damaged(Unavailable):
    """The file is damaged or gone: it must be made anew of what can be read."""


class Hopeless(Unavailable):
    """Nothing tells what the file held, so it is neither written nor made anew: a person must decide."""


def failure(what: str, error: Exception) -> Unavailable:
    """Give the fate for an error, worded as `what` went wrong and why."""
    # ValueError, TypeError: a page that is whole for SQLite, and holds what is none of ours.
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | ValueError | TypeError):
        return Damaged(f"{what}: {error}")
    if isinstance(error, apsw.FullError):
        return Unavailable(f"{what}: {error}", retry_after=5, cause=Cause.SPOOL_FULL)
    if isinstance(error, apsw.ReadOnlyError) or (isinstance(error, OSError) and error.errno in FORBIDDEN):
        return Unavailable(f"{what}: {error}; make it writable, with its folder and its disk: then the relay goes on")
    return Unavailable(f"{what}: {error}")


@contextmanager
def failing(text: str) -> Iterator[None]:
    """Give what the disk refuses within as the fate that it is, `text` first. Raises `Unavailable`."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise failure(text, error) from error
