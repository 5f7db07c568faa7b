"""One Kafka broker as a process: formatted, started, stopped, killed, paused."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka import jars

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Sixteen bytes in URL-safe base64, as Kafka wants a cluster's id.
CLUSTER_ID = "cmVsYXktdGVzdC1rYWZrYQ"

_SMALL_JVM = ("-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true")
_QUICK = ("-XX:TieredStopAtLevel=1",)
_REIGN = re.compile(r"Becoming the active controller at epoch (\d+)")


class Broker:
    """A broker that is its own controller, listening on 127.0.0.1, with its data in one folder.

    `properties` is its whole configuration. Its log is `log` in the folder. Not safe for use by two threads.
    """

    def __init__(
        self, node: int, port: int, folder: Path, properties: Mapping[str, str], *, brief: bool = False
    ) -> None:
        """Write the configuration down; nothing runs yet. A `brief` one is compiled quickly and not well."""
        folder.mkdir()
        self.node = node
        self.address = f"127.0.0.1:{port}"
        self._options = _QUICK if brief else ()
        self._folder = folder
        self._log = folder / "log"
        self._properties = folder / "broker.properties"
        lines = {**properties, "log.dirs": f"{folder}/data"}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def format(self) -> subprocess.Popen[bytes]:
        """Begin to format the storage for KRaft; the caller waits, so that brokers are formatted side by side."""
        # The first compiler only: this program is over before the second could help.
        return self._java(_QUICK, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c")

    def start(self) -> None:
        """Begin to run; `wait_until_known` tells when it serves."""
        self._process = self._java(("-Xms128m", "-Xmx384m", *self._options), "kafka.Kafka")

    def wait_until_known(self, nodes: frozenset[int], deadline: float) -> None:
        """Wait until this broker serves and its metadata hold all of `nodes`; `deadline` is of `time.monotonic`.

        A broker is in the metadata only once the controller has unfenced it, so it can also lead partitions.
        Raises `RuntimeError` with the end of the log when the process dies, or the deadline passes.
        """
        quiet = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100}
        client = AdminClient({"bootstrap.servers": self.address, **quiet})
        while not nodes <= self._seen_by(client):
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"broker {self.node} died:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"broker {self.node} is not ready:\n{self.log_end()}")

    def stop(self, patience: float = 20.0) -> None:
        """Stop in order, handing leadership over; kill when that takes more than `patience` seconds."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End at once, as a lost machine does; the data stay. Nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def runs(self) -> bool:
        """Tell whether the process is there, be it frozen or not."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Freeze: connections stay open and nothing answers, as behind a black hole."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def log_end(self) -> str:
        """Give the last lines of the broker's log."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])

    def reigns(self) -> int:
        """Give the last epoch in which this node was the active controller; 0 when it never was."""
        return max((int(epoch) for epoch in _REIGN.findall(self._log.read_text(errors="replace"))), default=0)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"broker {self.node} does not run")
        return self._process

    @staticmethod
    def _seen_by(client: AdminClient) -> frozenset[int]:
        try:
            return frozenset(client.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return frozenset()

    def _java(self, options: tuple[str, ...], *program: str) -> subprocess.Popen[bytes]:
        command = [jars.java(), *_SMALL_JVM, *options, "-cp", jars.class_path(), *program, str(self._properties)]
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches a person's program and not the broker behind it.
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
