"""Start: how soon the relay answers with a gigabyte pending, its file in the system's memory, or on the disk alone."""

from __future__ import annotations

import http.client
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import backlog, deliveries, table
from bench.stage import CONFIG, say
from bench.table import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.course import Course
    from bench.stage import Stage

COUNT = 2_000_000  # which take a gigabyte
STARTING = 120.0
LOOK = 0.005
OK, ACCEPTED = 200, 202


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process until it was ready, and until it had answered a delivery."""

    ready: float
    answered: float


FIGURES: tuple[Figure[Start], ...] = (
    Figure("ready, s", lambda start: start.ready, ".2f"),
    Figure("first delivery answered, s", lambda start: start.answered, ".2f"),
)


def measure(stage: Stage, goals: list[Goal]) -> Iterator[str]:
    """Start on a large spool again and again, Kafka frozen; give the lines of the part."""
    (node,) = stage.cluster.nodes
    starts: dict[str, list[Start]] = {"in memory": [], "on disk": []}
    with ExitStack() as stack:
        course = stage.prepare(stack, "relay", ack="stored")
        spool = Path(course.variables["BENCH_FOLDER"], "spool.db")
        say(f"writing {COUNT:,} deliveries")
        backlog.write(CONFIG, course.variables, COUNT)
        size = spool.stat().st_size
        stack.callback(stage.cluster.resume, node)
        stage.cluster.pause(node)
        for number in range(stage.pace.rounds):
            for name, measured in starts.items():
                _read(spool) if name == "in memory" else _forget(spool)
                measured.append(_start(course))
                say(f"round {number + 1}: {name}, answered after {measured[-1].answered:.2f} s")
    yield from table.lines(starts, FIGURES, [("on disk", "in memory")])
    yield ""
    yield f"{COUNT:,} deliveries pending in a spool of {size / 1e9:.2f} GB, the last million ids remembered."
    for name, measured in starts.items():
        answered = median(start.answered for start in measured)
        goals.append(Goal(f"seconds until a delivery is answered, a gigabyte pending, its file {name}", answered, 2))


def ready(course: Course) -> float:
    """Wait until a relay is ready; give the seconds since its process was started."""
    began = course.contender.began
    while _status(course.contender.ports.admin_port, "GET", "/readyz") != OK:
        if time.monotonic() - began > STARTING:
            raise RuntimeError(f"not ready after {STARTING:g} s")
        time.sleep(LOOK)
    return time.monotonic() - began


def _start(course: Course) -> Start:
    with course.contender as contender:
        seconds = ready(course)
        (body,) = deliveries.bodies(1)
        status = _status(contender.ports.port, "POST", deliveries.PATH, body, {"Signature": deliveries.sign(body)})
        answered = time.monotonic() - contender.began
        contender.kill()
    if status != ACCEPTED:
        raise RuntimeError(f"a delivery was answered {status}")
    return Start(seconds, answered)


def _status(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def _read(file: Path) -> None:
    """Bring a file into the system's memory."""
    with file.open("rb", buffering=0) as opened:
        while opened.read(1 << 20):
            pass


def _forget(file: Path) -> None:
    """Let the system's memory hold nothing of a file."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
