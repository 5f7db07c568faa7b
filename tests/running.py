"""Running: the installed relay as a process, with what its operators and senders see of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from prometheus_client.parser import text_string_to_metric_families

from relay.core.signature import sign
from tests.wire import PATIENCE, Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RELAY = str(Path(sys.executable).with_name("relay"))
KEY = "158b08cc-6a06-49f2-a724-2bc514fdcf1e"
PATH = "/webhooks/contoso"
START = 120.0  # seconds until a start has failed; on a busy machine Python alone takes many
STOP = 30.0  # seconds until one is killed: longer than `stop.timeout` by default, all of which a held topic takes
# What must never be in a log: errors nobody expected, and complaints of Python, its loop and its HTTP server.
UNWANTED = ("Traceback", "lane.broken", "relay.failed", '.unread"', '"py.warnings"', '"asyncio"', '"aiohttp')

LINE = '{"timestamp":'  # how each line of the log begins
# A connection to a broker that is made in the moment in which its client is closed is let go by aiokafka, or its
# socket or transport by asyncio, and closed as it is collected; so is a request that a killed producer waits with.
# What its connections' own readers die of is told to nobody who is left (aiokafka's `_on_read_task_error`).
HARMLESS = (
    "Unclosed AIOKafkaConnection",
    "ResourceWarning: unclosed <socket.socket",
    "ResourceWarning: unclosed transport <_SelectorSocketTransport",
    "coro=<Sender._send_produce_req()",
    "coro=<AIOKafkaConnection._read()",
    "in _on_read_task_error\\n    read_task.result()",
    "ResourceWarning: loop is closed",
)


def settings(bootstrap: str, folder: Path, topic: str, **sections: object) -> dict[str, object]:
    """Give a configuration on free ports with one source and one rule to `topic`; `sections` go over it."""
    return {
        "version": 1,
        "listen": {"host": "127.0.0.1", "port": 0},
        "admin": {"port": 0},
        "sources": {"contoso": {"path": PATH, "keys": [KEY]}},
        "kafka": {"bootstrap_servers": [bootstrap]},
        "routes": [{"name": "all", "topics": [topic]}],
        "log": {"format": "json"},
        "spool": {"path": f"{folder}/spool.db"},
        **sections,
    }


def event(name: str = "Marketing", *, kind: str = "ProvisioningStarted", event_id: str | None = None) -> bytes:
    """Give the body of a delivery about a workspace; a fresh id unless one is given."""
    content = {"name": name, "type": "MicrosoftTeams", "requesterId": "0f8fad5b-d9cb-469f-a165-70867728950e"}
    meta = {"timeStamp": "2023-10-05T14:48:00", "idempotencyKey": event_id or str(uuid.uuid4())}
    return json.dumps({"type": kind, "content": content, "meta": meta}).encode()


def signed(body: bytes, key: str = KEY) -> dict[str, str]:
    """Give the headers of a delivery as Syskit Point signs it."""
    return {"Signature": sign(key.encode(), body), "Algorithm": "HMACSHA256"}


def request(body: bytes, headers: Mapping[str, str], target: str = PATH) -> bytes:
    """Give a POST as it goes over the wire."""
    lines = {"Host": "relay", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for a condition; `AssertionError` when it does not come true in `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Running:
    """`relay run` with a configuration, and everything of it that can be seen from outside.

    The context manager starts it and always ends it. Ports are new after each start.
    """

    def __init__(
        self, folder: Path, configuration: Mapping[str, object], environment: Mapping[str, str] | None = None
    ) -> None:
        """Write the configuration (JSON is YAML); nothing runs yet. `environment` goes over ours."""
        self._environment = environment or {}
        self.folder = folder
        self._config = folder / "relay.yaml"
        self._config.write_text(json.dumps(configuration))
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self.admin_port = 0
        self.kills = 0  # how often it was ended as a lost machine does

    @property
    def config(self) -> Path:
        """The configuration's file, for other verbs."""
        return self._config

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process
        return self._process.pid

    def start(self, ready: int = 200) -> None:
        """Start, and return when /readyz says 200, or what else it is to say."""
        before = len(self.told("relay.started"))
        environment = {**os.environ, "PYTHONWARNINGS": "default", **self._environment}
        with self._log.open("ab") as log:
            command = [RELAY, "run", "-c", str(self._config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=environment)
        until(lambda: len(self.told("relay.started")) > before or not self.runs, START)
        assert self.runs, self.text
        started = self.told("relay.started")[-1]
        self.port, self.admin_port = int(str(started["port"])), int(str(started["admin_port"]))
        until(lambda: self.get("/readyz").status == ready, START)

    @property
    def runs(self) -> bool:
        """Tell whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        assert self._process
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the end; give the exit code."""
        assert self._process
        return self._process.wait(patience)

    def stop(self) -> int:
        """Stop as an orchestrator does; give the exit code."""
        self.signal()
        return self.wait(STOP)

    def kill9(self) -> None:
        """End it as a lost machine does."""
        self.signal(signal.SIGKILL)
        self.wait()
        self.kills += 1

    def wire(self) -> Wire:
        """Connect to the ingest listener."""
        return Wire(self.port)

    def post(
        self, body: bytes, *, key: str = KEY, target: str = PATH, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post a body, signed with `key` unless `headers` are given, on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(request(body, signed(body, key) if headers is None else headers, target))

    def get(self, path: str) -> Answer:
        """Ask the admin listener."""
        with Wire(self.admin_port) as wire:
            return wire.ask(f"GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())

    def metric(self, name: str, **labels: str) -> float:
        """Give the sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.get("/metrics").body.decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        assert samples, f"there is no metric {name}"
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    @property
    def text(self) -> str:
        """All that was logged since the first start."""
        return self._log.read_text() if self._log.exists() else ""

    def told(self, event: str, **fields: object) -> list[dict[str, object]]:
        """Give the log lines of an event that have these fields.

        A process that was killed may have left a line without its end: the next one's first stands behind it.
        """
        whole = self.text.rpartition("\n")[0]
        lines = [json.loads("".join(line.rpartition(LINE)[1:])) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    def settle(self) -> None:
        """Wait until nothing is pending."""
        until(lambda: self.metric("relay_deliveries_pending") == 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.runs:
            self.kill9()
        lines = [line for line in self.text.splitlines() if not any(word in line for word in HARMLESS)]
        found = [line for line in lines if any(word in line for word in UNWANTED)]
        assert kind is not None or not found, found[0]
