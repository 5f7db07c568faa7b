"""Health, as rows: what is checked, what it means for readiness, and how one asks a running relay."""

from __future__ import annotations

import enum
import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ANSWER = 4 << 20
ANY_PORT = "admin.port is 0, any free one: which that is stands in the relay's log, and is not known here"


class NoAnswer(Exception):  # noqa: N818 - it is what happened, for a person
    """Nobody answers there; the text is a sentence that says where, and why."""


class State(enum.StrEnum):
    """What a check found: all well, trouble that leaves the relay able to store, or trouble that does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


MARKS = {State.OK: "[+]", State.WARN: "[!]", State.FAIL: "[-]"}


@dataclass(frozen=True, slots=True)
class Check:
    """One row: the name of what was looked at, its state, and a sentence for people, without secrets.

    What is not `vital` may fail, and the relay stays in service.
    """

    name: str
    state: State
    detail: str
    vital: bool = True

    @property
    def stops(self) -> bool:
        """Tell whether it keeps deliveries from being stored."""
        return self.vital and self.state is State.FAIL

    def __str__(self) -> str:
        """Give the row as one line, whatever the detail holds."""
        detail = " ".join(self.detail.split())
        return f"{MARKS[self.state]} {self.name}: {detail}"


def is_ready(checks: Sequence[Check]) -> bool:
    """Tell whether a delivery can be stored: no vital check has failed."""
    return not any(check.stops for check in checks)


def address_of(host: str) -> str:
    """Give the address at which a relay of this machine is asked; what means every address is loopback."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound


def ask_ready(host: str, port: int, timeout: float, *, as_json: bool = False) -> tuple[bool, str]:
    """Ask the relay that listens there whether it is ready; blocks.

    Gives its answer and its rows, as lines or as JSON, or False and a sentence when it cannot be asked.
    """
    try:
        status, text = fetch(host, port, "/readyz?format=json" if as_json else "/readyz?verbose", timeout)
    except NoAnswer as error:
        return False, str(error)
    return status == http.client.OK, text.rstrip("\n")


def fetch(host: str, port: int, path: str, timeout: float, token: str | None = None) -> tuple[int, str]:
    """Ask an admin listener for a page; blocks. Gives the HTTP status and the text. Raises `NoAnswer`.

    `timeout`, in seconds, is for each step of the exchange. A host that means every address is asked on loopback.
    Pages that show deliveries want the `token`, when there is one.
    """
    if not port:
        raise NoAnswer(ANY_PORT)
    address = address_of(host)
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_ANSWER).decode("utf-8", "replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswer(f"no answer from {address} port {port}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
