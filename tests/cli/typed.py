"""What the tests of the command line share: a verb typed as an operator types it."""

from __future__ import annotations

import os
import subprocess

from tests.running import RELAY


def relay(*arguments: str, data: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end, with nothing of this process's environment that it would read."""
    clean = {name: value for name, value in os.environ.items() if name not in {"RELAY_CONFIG", "NO_COLOR"}}
    done = subprocess.run(
        [RELAY, *arguments], input=data, capture_output=True, timeout=30, check=False, env=clean | environ
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
