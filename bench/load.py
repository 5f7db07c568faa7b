"""Load: a closed loop of wrk that posts each delivery of a file once, as fast as it is answered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec

from bench.deliveries import PATH

SCRIPT = Path(__file__).with_name("load.lua")
PATIENCE = 30  # seconds for one answer, longer than any `ack.timeout` in use
START = 60.0  # seconds that wrk may take beside the load itself


class Answered(msgspec.Struct, frozen=True):
    """What wrk counted: complete answers, the seconds they took, those not 2xx, and connections that broke."""

    answers: int
    seconds: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def missing() -> str | None:
    """Say what to install when there is no wrk."""
    return None if shutil.which("wrk") else "wrk is missing; on Debian: apt-get install wrk"


def post(port: int, deliveries: Path, *, seconds: int, connections: int) -> Answered:
    """Post from a file for some seconds. At the end as many as `connections` are under way without an answer.

    Raises `RuntimeError` when wrk failed, or when an answer was not 2xx or did not come.
    """
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{PATIENCE}s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}{PATH}"]
    command += ["--", str(deliveries)]
    wrk = subprocess.run(command, capture_output=True, check=False, timeout=seconds + START)
    if wrk.returncode:
        raise RuntimeError(f"wrk failed: {(wrk.stderr or wrk.stdout).decode(errors='replace')}")
    answered = msgspec.json.decode(wrk.stdout.splitlines()[-1], type=Answered)
    if answered.refused or answered.broken or not answered.answers:
        raise RuntimeError(f"not every delivery was accepted: {answered}")
    return answered
