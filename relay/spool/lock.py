"""Lock: the right to write a spool, which one process has at a time."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.core.errors import Unavailable
from relay.spool.failure import Damaged

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS, PAUSE = 11, 0.01  # seconds between them


class InUse(Unavailable):
    """Another process has the spool."""


class Lock:
    """The right to write a spool: `flock` on `<spool>.lock`, held until closed or the process ends."""

    def __init__(self, spool: Path) -> None:
        """Take the lock. Raises `InUse` when another process holds it, `Unavailable` when it cannot be made."""
        self._spool, self.path = spool, spool.with_name(spool.name + ".lock")
        self._fd = self._take()

    @property
    def stands(self) -> bool:
        """Tell whether the file that is locked still bears its name: else another process may lock that name too."""
        try:
            return os.path.samestat(self.path.stat(), self._held)
        except OSError:
            return False

    def check(self) -> None:
        """Raise `Damaged` when it does not."""
        if not self.stands:
            raise Damaged(f"{self.path} was deleted or replaced beneath the relay: another one may write the spool")

    def renew(self) -> bool:
        """Take the lock on the file that bears its name, and tell whether it was away. Raises as the constructor."""
        if self.stands:
            return False
        fd = self._take()
        os.close(self._fd)
        self._fd = fd
        return True

    def _take(self) -> int:
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            msg = f"the spool {self._spool} cannot be opened: {error}"
            raise Unavailable(msg) from error
        if not _locked(fd):
            os.close(fd)
            msg = f"{self._spool} is in use by another relay (it holds {self.path}); give each relay a spool of its own"
            raise InUse(msg)
        self._held = os.fstat(fd)
        return fd

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._fd)


def _locked(fd: int) -> bool:
    """Lock a file, or try again for a moment: who asks whether the spool is `in_use` holds it as long as that."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def in_use(spool: Path) -> bool:
    """Tell whether a process has the right to write a spool now."""
    try:
        fd = os.open(spool.with_name(spool.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
