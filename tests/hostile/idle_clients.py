"""A process that holds idle connections: some have sent nothing, some a part of a head, some a request.

Says when all are open, closes them when its standard input is closed, and says so; then it ends.
"""

from __future__ import annotations

import resource
import socket
import sys

from tests.running import PATH

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\n".encode()
STARTS = (b"", HEAD, HEAD + b"Content-Length: 0\r\n\r\n")
A_SOURCE = 4000  # connections of one address: there are only so many ports
BIND_WITHOUT_PORT = 24  # Linux's IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect, which is much faster


def hold(port: int, number: int) -> None:
    """Open them, wait, and close them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for count in range(number):
        held.append(socket.socket())
        held[-1].setsockopt(socket.IPPROTO_IP, BIND_WITHOUT_PORT, 1)
        held[-1].bind((f"127.0.0.{2 + count // A_SOURCE}", 0))
        held[-1].connect(("127.0.0.1", port))
        held[-1].sendall(STARTS[count % len(STARTS)])
    _say("open")
    sys.stdin.read()
    for each in held:
        each.close()
    _say("closed")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]))
