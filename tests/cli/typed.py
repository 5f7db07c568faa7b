"""What the tests of the command line share: a verb typed as an operator types it, and free ports."""

from __future__ import annotations

import os
import socket
import subprocess

from tests.running import RELAY


def relay(*arguments: str, data: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end, with nothing of this process's environment that it would read."""
    clean = {name: value for name, value in os.environ.items() if name not in {"RELAY_CONFIG", "NO_COLOR"}}
    done = subprocess.run(
        [RELAY, *arguments], input=data, capture_output=True, timeout=30, check=False, env=clean | environ
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


_given: set[int] = set()


def free_port() -> int:
    """Find a port that nobody listens on, another one each time: who asks for two wants two."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
