"""Volley: an open loop of vegeta, which sends at a steady rate whatever the answers do, and what came back."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "v12.12.0"
FOLDER = Path("build") / f"vegeta-{VERSION}"
VEGETA = FOLDER / "vegeta"
PATIENCE = 30  # seconds for one answer, longer than any `ack.timeout` in use
START = 60.0  # seconds that vegeta may take beside the load itself
NOTHING_LEFT = "no targets to attack"  # vegeta's error for a request it did not make
ACCEPTED = 202
REFUSED = (429, 503)


class Answer(msgspec.Struct, frozen=True):
    """One request as vegeta saw it: when it was sent, its number, and its answer (code 0: none came)."""

    code: int
    timestamp: datetime
    latency: int  # nanoseconds
    seq: int = 0
    headers: dict[str, list[str]] | None = None
    error: str = ""


class Volley:
    """All answers of an attack."""

    def __init__(self, answers: Sequence[Answer], asked: float) -> None:
        """Take them in any order; `asked` is the rate that was asked for, a second."""
        self.answers = sorted(answers, key=lambda answer: answer.seq)
        self.asked = asked

    @cached_property
    def accepted(self) -> list[Answer]:
        """Those that were answered 202."""
        return [answer for answer in self.answers if answer.code == ACCEPTED]

    @cached_property
    def refused(self) -> list[Answer]:
        """Those that were answered 429 or 503."""
        return [answer for answer in self.answers if answer.code in REFUSED]

    @property
    def broken(self) -> int:
        """Those without an answer, or with any other one."""
        return len(self.answers) - len(self.accepted) - len(self.refused)

    @cached_property
    def seconds(self) -> float:
        """How long it was sent: from the first request to one period after the last."""
        first, last = self.answers[0].timestamp, max(answer.timestamp for answer in self.answers)
        between = (last - first).total_seconds()
        return between * len(self.answers) / max(len(self.answers) - 1, 1)

    @property
    def sent(self) -> float:
        """Requests a second that vegeta brought about."""
        return len(self.answers) / self.seconds

    @property
    def goodput(self) -> float:
        """Deliveries accepted a second, of all time until the last of them was answered."""
        first = self.answers[0].timestamp.timestamp()
        last = max(answer.timestamp.timestamp() + answer.latency / 1e9 for answer in self.accepted)
        return len(self.accepted) / max(last - first, self.seconds)

    def late(self, share: float) -> float:
        """Give the seconds by which requests were sent too late, at most, in a `share` of all cases."""
        first = self.answers[0].timestamp.timestamp()
        return percentile([one.timestamp.timestamp() - first - one.seq / self.asked for one in self.answers], share)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the least of the values that at least a `share` of them do not exceed: one of them, never a mean of two."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]


def latency(answers: Sequence[Answer], share: float) -> float:
    """Give the seconds within which a `share` of the answers came."""
    return percentile([answer.latency for answer in answers], share) / 1e9


def parse(lines: bytes) -> list[Answer]:
    """Read what `vegeta encode -to json` writes, an answer a line; requests that were not made are left out."""
    told = msgspec.json.Decoder(list[Answer]).decode(b"[" + b",".join(lines.splitlines()) + b"]")
    return [answer for answer in told if answer.error != NOTHING_LEFT]


def install() -> str | None:
    """Have vegeta under build/, of the one version; say what to install when that cannot be."""
    if VEGETA.exists():
        return None
    if not shutil.which("go"):
        return "vegeta is built with Go, which is missing; on Debian: apt-get install golang-go"
    environment = {**os.environ, "GOBIN": str(FOLDER.resolve())}
    command = ["go", "install", f"github.com/tsenart/vegeta/v12@{VERSION}"]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"vegeta could not be built:\n{built.stderr}" if built.returncode else None


def attack(targets: Path, *, rate: int, seconds: int, workers: int) -> Volley:
    """Send each target of a file once, `rate` a second; at most `workers` are under way at once.

    Raises `RuntimeError` when vegeta fails, sent nothing, or more than it should.
    """
    results = targets.with_suffix(".results")
    options: Mapping[str, str] = {
        "rate": f"{rate}/s",
        "duration": f"{seconds}s",
        "timeout": f"{PATIENCE}s",
        "max-workers": str(workers),
        "max-connections": str(workers),
        "connections": str(workers),
        "max-body": "0",
        "format": "json",
        "targets": str(targets),
        "output": str(results),
    }
    _vegeta("attack", "-lazy", *(f"-{name}={value}" for name, value in options.items()), seconds=seconds)
    answers = parse(_vegeta("encode", "-to=json", str(results), seconds=seconds))
    if len(answers) > rate * seconds or not answers:
        raise RuntimeError(f"{len(answers)} requests were sent instead of {rate * seconds}")
    return Volley(answers, rate)


def _vegeta(*command: str, seconds: int) -> bytes:
    run = subprocess.run([VEGETA, *command], capture_output=True, check=False, timeout=seconds + PATIENCE + START)
    if run.returncode:
        raise RuntimeError(f"vegeta failed: {run.stderr.decode(errors='replace')}")
    return run.stdout
