"""Sender: signs and posts a delivery as Syskit Point does."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from relay.core.signature import message_of, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.model import Source

ALGORITHM = "HMACSHA256"
TIMEOUT = 30.0
MAX_ANSWER = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What the relay answered: the HTTP status, the body as text, and its fields when it is a JSON object."""

    status: int
    text: str
    fields: Mapping[str, object]

    @property
    def accepted(self) -> bool:
        """Tell whether the delivery was taken, and is not a dead letter."""
        return 200 <= self.status < 300 and "dead" not in (self.fields.get("status"), self.fields.get("first"))  # noqa: PLR2004 - statuses


def headers_for(source: Source, body: bytes) -> dict[str, str]:
    """Give the headers of a delivery signed with the source's first key. Raises `Rejected` when it cannot be signed."""
    signature = sign(source.keys[0].secret, message_of(source.signs, body))
    return {"Content-Type": "application/json", "Signature": signature, "Algorithm": ALGORITHM}


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Post a body, once, following no redirect; blocks. Raises OSError, ValueError or HTTPException."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http or https URL")  # not repeated here: its query may be a secret
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        text = response.read(MAX_ANSWER).decode(errors="replace")
        return Answer(response.status, text, _fields(text))
    finally:
        connection.close()


def _fields(text: str) -> Mapping[str, object]:
    try:
        fields = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        return {}
    return fields
