"""Nginx: the front that many operators have, as a process before the relay."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Self

from tests.running import until
from tests.wire import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

# One upstream for all clients, whose connections are kept and shared. Bodies are forwarded whole by one server, and as
# they come by the other.
CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    log_format forwarded "$upstream_status|$upstream_bytes_sent";
    access_log {folder}/forwarded.log forwarded;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream relay {{ server 127.0.0.1:{relay}; keepalive 4; }}
    proxy_http_version 1.1; proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:{whole}; location / {{ proxy_pass http://relay; }}
    }}
    server {{
        listen 127.0.0.1:{piecemeal}; location / {{ proxy_pass http://relay; proxy_request_buffering off; }}
    }}
}}
"""


def installed() -> str | None:
    """Give the program's path, None when it is not installed."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class Nginx:
    """nginx before a relay, on two ports of its own. The context manager starts it and always ends it."""

    def __init__(self, folder: Path, relay_port: int) -> None:
        """Write its configuration; nothing runs yet."""
        self._folder = folder
        self._configuration = folder / "nginx.conf"
        self.whole, self.piecemeal = _free_ports(2)
        self._configuration.write_text(
            CONFIGURATION.format(folder=folder, relay=relay_port, whole=self.whole, piecemeal=self.piecemeal)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def forwarded(self) -> range:
        """How many requests the relay may have seen: at least those it answered, at most those nginx sent a byte of.

        nginx gives a request up within its body when that turns out not to be HTTP.
        """
        lines = (self._folder / "forwarded.log").read_text(encoding="ascii").splitlines()
        seen = [line.split("|") for line in lines]
        answered = sum(status[:1].isdigit() for status, _ in seen)
        return range(answered, sum(sent not in {"-", "0"} for _, sent in seen) + 1)

    def __enter__(self) -> Self:
        program = installed()
        assert program
        self._process = subprocess.Popen([program, "-c", str(self._configuration), "-p", str(self._folder)])
        until(lambda: _listens(self.piecemeal))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.terminate()
        assert self._process.wait(PATIENCE) == 0


def _free_ports(number: int) -> list[int]:
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in listening]
    for each in listening:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
