"""A clock that a test sets, for a process that has this folder on its PYTHONPATH.

`$TEST_CLOCK` names a file, which holds by how many seconds the clock is off, or `frozen` and the time at
which it stands. It is read at every look at the clock, so it can be stepped beneath a running process.
The monotonic clock goes on as it is, as it does when somebody sets the clock of a machine.
"""

import os
import time
from pathlib import Path

_clock = Path(os.environ["TEST_CLOCK"])
_time = time.time


def _shifted() -> float:
    words = _clock.read_text(encoding="ascii").split()
    return float(words[1]) if words[0] == "frozen" else _time() + float(words[0])


time.time = _shifted
time.time_ns = lambda: int(_shifted() * 1e9)
