"""Ten thousand connections that do nothing cost nobody else anything, and little memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attack import SPARE, good_traffic_beside, resident
from tests.hostile.idle_clients import HEAD
from tests.running import Running, event, settings, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster

IDLE = 10_000
PROCESSES = 2
ROUNDS = 3
FEW = 1024  # files that a process may have open where nobody has thought of it
EACH = 16 << 10  # bytes of memory that an idle connection may cost
LEFT = 1 << 10  # and that it may leave, as the good traffic beside it does; an object that is kept is more
LISTEN = {"host": "127.0.0.1", "port": 0, "header_timeout": "5m", "idle_timeout": "5m"}


@pytest.fixture(scope="module")
def patient(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay that waits for its senders, started with few files by an operator who may have more."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = tmp_path_factory.mktemp("idle")
    relay = Running(folder, settings(kafka.bootstrap_servers, folder, "hostile.idle", listen=LISTEN))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, most))
    try:
        relay.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    with ExitStack() as stack:
        stack.push(relay.__exit__)
        yield relay
        assert relay.stop() == 0


def files_open(pid: int) -> int:
    """Count the files that a process has open, sockets among them."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - of ten thousand, names are enough


@contextmanager
def idle_connections(port: int) -> Iterator[None]:
    """Hold them, from processes of their own."""
    command = [sys.executable, "-m", "tests.hostile.idle_clients", str(port), str(IDLE // PROCESSES)]
    root = Path(__file__).parents[2]
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        clients = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=root, text=True))
            for _ in range(PROCESSES)
        ]
        for client in clients:
            assert client.stdout
            assert client.stdout.readline() == "open\n"
        yield
        for client in clients:
            assert client.communicate(timeout=30)[0] == "closed\n"
            assert client.returncode == 0


def test_idle_connections_cost_little(patient: Running) -> None:
    """While ten thousand are open, good traffic goes on; each costs little memory, and that is there for the next.

    The relay was started with a limit of 1024 files and has raised it to what it may have.
    """
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > IDLE + FEW, "this machine's own limit is too low"
    left: list[int] = []
    with good_traffic_beside(patient, lambda: ROUNDS) as good:
        good.goes_on(200)
        files, memory = files_open(patient.pid), resident(patient.pid)
        for _ in range(ROUNDS):
            with idle_connections(patient.port):
                good.goes_on(20)
                assert patient.post(event()).status == 202, "a new connection, which comes after all of those"
                assert patient.get("/readyz").status == 200
                assert files_open(patient.pid) >= files + IDLE
                assert resident(patient.pid) <= memory + IDLE * EACH + SPARE
            until(lambda: files_open(patient.pid) <= files)
            left.append(resident(patient.pid))
    assert left[-1] <= left[0] + (ROUNDS - 1) * IDLE * LEFT, "they leave something behind"


def test_a_head_that_can_have_no_end_is_not_waited_for(patient: Running) -> None:
    """Who has finished sending within a head is hung up on at once, and not when its time is over."""
    with patient.wire() as wire:
        wire.send(HEAD)
        wire.end()
        assert wire.rest() == b""
