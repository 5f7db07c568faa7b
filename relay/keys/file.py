"""The file of the rings, beside the spool, so that fetched keys are there after a restart while the API is away.

It holds keys: it is for its owner alone (mode 0600), and is replaced as a whole, so that a crash leaves the old one or
the new one.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from relay.core.errors import Unavailable
from relay.keys.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
SHORTEST = 16  # bytes of a key: with an empty one, or nearly so, anybody could sign


class DamagedError(Exception):
    """The file is there, and is not what the relay writes."""


class _Versioned(msgspec.Struct):
    version: int = VERSION


class _Stored(msgspec.Struct):
    sources: dict[str, Ring]
    version: int = VERSION


def path_of(spool: Path) -> Path:
    """Give the place of the file that belongs to a spool."""
    return spool.with_name(spool.name + ".keys")


def read(path: Path) -> dict[str, Ring]:
    """Read the rings by source; none when there is no file yet. Leaves the file as it is.

    Raises `DamagedError`, or `Unavailable` when it may be whole and cannot be read.
    """
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise Unavailable(f"{path} is of version {version}, and this relay reads {VERSION}; move it away")
        sources = msgspec.json.decode(content, type=_Stored).sources
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}; make it readable for the relay") from error
    except (ValueError, RecursionError):  # which may quote the text, or be nested without end
        raise DamagedError(f"{path} is not the JSON that the relay writes") from None
    if any(len(key.secret) < SHORTEST for ring in sources.values() for key in ring.fetched):
        raise DamagedError(f"{path} has a key that is too short to be one")
    return sources


def look(path: Path) -> dict[str, Ring]:
    """Read the rings for who only looks at them. Raises `Unavailable`, also of a damaged file, which stays there."""
    try:
        return read(path)
    except DamagedError as error:
        raise Unavailable(f"{error}; the relay that starts sets it aside") from None


def tighten(path: Path) -> bool:
    """Let nobody but the owner read the file any more, and tell whether another could. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_IMODE(path.stat().st_mode) & ~0o600:
            path.chmod(0o600)
            return True
    return False


def set_aside(path: Path) -> Path:
    """Move a file away that cannot be read, and give its new place. Raises OSError."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    path.rename(aside)
    return aside


def write(path: Path, rings: Mapping[str, Ring]) -> None:
    """Replace the file, durably. Raises OSError, and leaves the old one then."""
    fresh = path.with_name(path.name + ".new")
    content = msgspec.json.encode(_Stored(dict(rings)))
    with suppress(FileNotFoundError):
        fresh.unlink()  # one left by a crash may have another mode
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
