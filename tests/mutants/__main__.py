"""Change the program in small ways, one at a time, and count the changes that no fast test notices: `make mutants`.

python -m tests.mutants [--seed 0] [--children 4] [ROOM ...]

What survived is written to build/mutants/<room>/survived: each is a test that is missing, or a change that
changes nothing. The answer is not 0 when fewer than nine of ten were noticed in a room.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.mutants.room import WORK, Room

ROOMS = {
    room.name: room
    for room in (
        Room("signature", "relay/core/signature.py", ("tests/core/test_signature.py",)),
        Room(
            "routing",
            "relay/core/routing/*.py",
            ("tests/core/test_routing.py", "tests/core/test_index.py", "tests/core/test_explanation.py"),
        ),
        # None of its tests takes a second, and half of what can be changed makes a lane wait for ever.
        Room("lane", "relay/lane/*.py", ("tests/lane",), patience=20),
        # All of them would take hours; and what measures memory takes minutes on a program that can be changed.
        Room(
            "spool",
            "relay/spool/*.py",
            ("tests/spool",),
            without=("tests/spool/test_recent.py::test_an_id_takes_at_most_24_bytes",),
            tenths=1,
        ),
    )
}
FLOOR = 90.0


def main() -> int:
    """Try every room that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="chooses the mutants of rooms of which not all are tried")
    parser.add_argument("--children", type=int, default=2 * (os.cpu_count() or 1), help="tests at once: some only wait")
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(ROOMS))
    asked = parser.parse_args()
    if unknown := set(asked.rooms) - set(ROOMS):
        parser.error(f"no such room: {', '.join(sorted(unknown))}")
    worst = 100.0
    print(f"{'room':10} {'killed':>7} {'hung':>5} {'survived':>9} {'idle':>5} {'rate':>7} {'seconds':>8}")
    for room in [ROOMS[name] for name in asked.rooms or ROOMS]:
        began = time.monotonic()
        count = room.run(asked.seed, asked.children)
        (WORK / room.name / "survived").write_text("\n".join(count.survived.values()))
        figures = f"{count.killed:7} {count.hung:5} {len(count.survived):9} {count.idle:5} {count.rate:6}%"
        print(f"{room.name:10} {figures} {time.monotonic() - began:8.0f}", flush=True)
        worst = min(worst, count.rate)
    return int(worst < FLOOR)


if __name__ == "__main__":
    sys.exit(main())
