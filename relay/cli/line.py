"""The line to the relay that runs: its admin listener, asked for what only it can do."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, TypeVar

import msgspec

from relay.cli.exits import NO, fail
from relay.cli.options import load_config
from relay.cli.text import safe
from relay.health import ANY_PORT, address_of

if TYPE_CHECKING:
    from pathlib import Path

    from relay.config import Config

TIMEOUT = 60.0  # seconds for each step of an exchange; a piece is one commit
MAX_ANSWER = 4 << 20

T = TypeVar("T")


class Line:
    """Asks the relay that runs on the configured spool; ends with a sentence when it does not do what is asked."""

    def __init__(self, path: Path, config: Config) -> None:
        """Ask where `config`, read from `path`, says; connects at the first question."""
        self._spool = config.spool.path
        # The token is read only where it is needed: the file may name secrets that are not for this user.
        token = load_config(path).admin.token if config.admin.token else None
        self._headers = {"Content-Type": "application/json"}
        self._headers |= {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        address, port = address_of(config.admin.host), config.admin.port
        self._where = f"{address} port {port}"
        self._connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)

    def ask(self, page: str, asked: msgspec.Struct, decoder: msgspec.json.Decoder[T]) -> T:
        """Post a question to a page, and give the answer."""
        if not self._connection.port:
            fail(f"a relay runs on {self._spool}, and cannot be asked: {ANY_PORT}", NO)
        try:
            self._connection.request("POST", page, msgspec.json.encode(asked), self._headers)
            answer = self._connection.getresponse()
            body = answer.read(MAX_ANSWER)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            why = f"a relay runs on {self._spool}, and does not answer at {self._where} ({_said(error)})"
            fail(f"{why}; check admin.host and admin.port, and the relay's log", NO)
        if answer.status != http.client.OK:
            fail(f"the relay says: {safe(body.decode(errors='replace').strip())}", NO)
        try:
            return decoder.decode(body)
        except ValueError:
            fail(f"what answers at {self._where} is no relay", NO)


def _said(error: Exception) -> str:
    """Say what went wrong as a person would."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "its answer is no HTTP"
