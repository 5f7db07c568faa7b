"""Run one broker for a person until Ctrl-C: `python -m tests.kafka [PORT]`."""

from __future__ import annotations

import signal
import socket
import sys

from tests.kafka.cluster import Cluster
from tests.kafka.jars import NotInstalledError


def main(port: int) -> None:
    """Start a broker on the port, tell where it listens, and end it with its data on SIGINT or SIGTERM."""
    # A topic that kcat writes to is there at once, as people expect of a broker to play with.
    cluster = Cluster(config={"auto.create.topics.enable": "true"}, ports=[port])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(f"127.0.0.1:{port} is taken; choose another port: make kafka PORT={port + 1}")
    try:
        with cluster:
            print(f"Kafka listens on {cluster.bootstrap_servers}; Ctrl-C ends it and its data.", flush=True)
            signal.pause()
    except NotInstalledError as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        print("ended", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9092)
