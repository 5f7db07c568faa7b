"""Contender: a process that is measured, and what it has used of the machine."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STARTING = 60.0
STOPPING = 40.0
LOOK = 0.01  # seconds between two looks at its log
TICKS = os.sysconf("SC_CLK_TCK")


class Ports(msgspec.Struct, frozen=True):
    """Where it listens, as the line `<kind>.started` of its log says."""

    port: int
    admin_port: int = 0


class Contender:
    """Runs from the beginning of a `with` block to its end; its log goes to a file in `folder`. Linux only."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Say what to run, `environment` on top of this process's own; nothing runs yet."""
        self.name = name
        self._command = command
        self._log = folder / f"{name}.log"
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self.ports = Ports(0)
        self.began = 0.0  # when the process was started, of `time.monotonic`

    @property
    def cpu(self) -> float:
        """The seconds of CPU that all its threads have used, in user and in kernel mode."""
        # proc(5): fields 14 and 15; the second one, in parentheses, may hold anything.
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> int:
        """The bytes it has in memory."""
        return self._status("VmRSS")

    @property
    def most_memory(self) -> int:
        """The most bytes it ever had in memory."""
        return self._status("VmHWM")

    def kill(self) -> None:
        """End it at once, with whatever it still has to do."""
        self._running().kill()
        self._running().wait()
        self._process = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.began = time.monotonic()
            self._process = subprocess.Popen(self._command, env=self._environment, stdin=subprocess.DEVNULL, stderr=log)
        try:
            self.ports = self._wait_until_started()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _wait_until_started(self) -> Ports:
        """Read its log until it says where it listens. Raises `RuntimeError` with the log when it does not."""
        deadline = time.monotonic() + STARTING
        while self._running().poll() is None and time.monotonic() < deadline:
            for line in self._log.read_bytes().splitlines():
                if b'.started"' in line and b'"port"' in line:
                    return msgspec.json.decode(line, type=Ports)
            time.sleep(LOOK)
        raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text(errors='replace')}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def _status(self, field: str) -> int:
        line = next(line for line in self._proc("status").splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    def _proc(self, file: str) -> str:
        return Path(f"/proc/{self._running().pid}/{file}").read_text(encoding="utf-8")
