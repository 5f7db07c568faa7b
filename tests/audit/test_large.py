"""A large spool: its audit takes no more memory than that of a small one, and a terminal shows how far it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench import backlog
from bench.deliveries import KEY
from relay.sandbox.embedded import EmbeddedKafka
from tests.cli.typed import relay, watched
from tests.running import settings

if TYPE_CHECKING:
    from pathlib import Path

SMALL, LARGE = 1_000, 200_000
MEMORY = 64 << 20  # bytes more: the largest pages, of 100,000 ids, are two thirds of that; all rows at once are more
# It tells at its end the most memory that it had; what the operating system tells of a child counts its parent in.
MEASURED = """
import atexit, pathlib
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print([line for line in status.read_text().splitlines() if line.startswith("VmHWM")][0]))
from relay.cli import main
main()
"""


def spool_of(folder: Path, count: int, bootstrap: str = "127.0.0.1:1") -> Path:
    """Write a spool with so many pending deliveries; give its configuration."""
    folder.mkdir()
    path = folder / "relay.yaml"
    sources = {"bench": {"path": "/webhooks/bench", "keys": [KEY]}}
    path.write_text(json.dumps(settings(bootstrap, folder, "large", sources=sources)))
    backlog.write(path, {}, count)
    return path


def most_memory(path: Path) -> int:
    """Audit, Kafka and all; give the bytes of memory that it took at most."""
    command = [sys.executable, "-c", MEASURED, "audit", "--kafka", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return int(done.stdout.splitlines()[-1].split()[1]) << 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_spool(tmp_path: Path) -> None:
    """Two hundred times the deliveries, rows and ids, are no more than some pages of them in memory."""
    kafka = EmbeddedKafka()
    small, large = (most_memory(spool_of(tmp_path / str(count), count, kafka.address)) for count in (SMALL, LARGE))
    assert large - small < MEMORY, (small, large)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_bar_is_shown_at_a_terminal_only(tmp_path: Path) -> None:
    """On stderr, up to its end; what is printed is the same, and where stderr is no terminal it holds nothing."""
    command = ["audit", "-c", str(spool_of(tmp_path / "spool", SMALL))]
    code, out, seen = watched(*command)
    piped = relay(*command)
    assert re.search(r"spool  \[#+\]  100%", seen), seen
    assert (code, piped.returncode, piped.stdout, piped.stderr) == (0, 0, out, "")
