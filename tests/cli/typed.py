"""What the tests of the command line share: a verb typed as an operator types it."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from tests.running import RELAY


def relay(*arguments: str, data: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end, with nothing of this process's environment that it would read."""
    clean = {name: value for name, value in os.environ.items() if name not in {"RELAY_CONFIG", "NO_COLOR"}}
    done = subprocess.run(
        [RELAY, *arguments], input=data, capture_output=True, timeout=30, check=False, env=clean | environ
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def watched(*arguments: str) -> tuple[int, str, str]:
    """Run a verb with a terminal as its stderr; give its exit, what it printed, and all that the terminal got."""
    terminal, end = pty.openpty()
    got = bytearray()

    def look() -> None:
        try:
            while piece := os.read(terminal, 65_536):
                got.extend(piece)
        except OSError:  # so Linux says that the last one who had the other end has closed it
            return

    looking = threading.Thread(target=look)
    looking.start()
    try:
        done = subprocess.run(
            [RELAY, *arguments], stdout=subprocess.PIPE, stderr=end, timeout=60, check=False, text=True,
            env={name: value for name, value in os.environ.items() if name not in {"RELAY_CONFIG", "NO_COLOR"}},
        )  # fmt: skip
    finally:
        os.close(end)
        looking.join()
        os.close(terminal)
    return done.returncode, done.stdout, got.decode()
