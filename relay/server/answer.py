"""Answers: receipts and fates as HTTP. The one place where a fate meets a status."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiohttp.helpers import rfc822_formatted_time

from relay.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.errors import Unavailable
    from relay.core.model import Receipt

# All that is wrong with a signature is answered alike: a forger learns nothing from it.
UNAUTHENTICATED = "the signature is missing or wrong"
REFUSALS: Mapping[Refusal, tuple[int, str]] = {
    Refusal.MISSING_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.REPEATED_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.MALFORMED_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.AMBIGUOUS_CONTENT: (401, UNAUTHENTICATED),
    Refusal.BAD_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.BAD_QUERY: (401, UNAUTHENTICATED),
    Refusal.FOREIGN_NETWORK: (403, "clients of this network may not send here"),
    Refusal.THROTTLED: (429, "too many requests whose signature is missing or wrong"),
    Refusal.UNKNOWN_PATH: (404, "no source has this path"),
    Refusal.METHOD: (405, "deliveries are posted"),
    Refusal.BODY_INCOMPLETE: (400, "the body ended early or was framed wrongly"),
    Refusal.BODY_TOO_SLOW: (408, "the body took too long"),
    Refusal.BODY_TOO_LARGE: (413, "the body is larger than this relay takes"),
    Refusal.ENCODED_BODY: (415, "the body must be sent as it was signed, without Content-Encoding"),
    Refusal.UNREADABLE_REQUEST: (400, "the request is not valid HTTP"),
}
HEADERS: Mapping[int, bytes] = {
    401: b"WWW-Authenticate: Signature\r\n",
    405: b"Allow: POST\r\n",
    429: b"Retry-After: 1\r\n",
}

_encode = msgspec.json.Encoder().encode
_HEADS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    + b"Content-Type: application/json\r\nServer: relay\r\nDate: "
    for status in HTTPStatus
}


class Answer(NamedTuple):
    """A status, a body of JSON, and header lines beside those every answer has; `close` ends the connection."""

    status: int
    body: bytes
    headers: bytes = b""
    close: bool = False

    def render(self, *, closing: bool, bodiless: bool = False) -> bytes:
        """Give the bytes of the whole answer; without its body when `bodiless`, as for HEAD."""
        return b"%b%b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
            _HEADS[self.status],
            rfc822_formatted_time().encode(),
            len(self.body),
            self.headers,
            b"Connection: close\r\n" if closing else b"",
            b"" if bodiless else self.body,
        )


def accepted(receipt: Receipt) -> Answer:
    """Give the answer to an accepted delivery: 202 and its receipt."""
    return Answer(202, _encode(receipt))


def rejected(refusal: Refusal) -> Answer:
    """Give the answer to a request that was the sender's fault."""
    status, text = REFUSALS[refusal]
    # Where the end of a request is in doubt, what follows is not taken for another one.
    close = refusal is Refusal.UNREADABLE_REQUEST
    return Answer(status, _encode({"error": text}), HEADERS.get(status, b""), close)


def unavailable(fate: Unavailable) -> Answer:
    """Give the answer to a request that could not be stored: 429 under load, else 503."""
    status, text = (429, "too many requests at once") if fate.busy else (503, "the delivery could not be stored")
    return Answer(status, _encode({"error": text}), b"Retry-After: %d\r\n" % fate.retry_after)


def unreadable(status: int) -> Answer:
    """Give the answer to what the HTTP parser refused."""
    text = "a line of the request's head is too long" if status == 431 else REFUSALS[Refusal.UNREADABLE_REQUEST][1]  # noqa: PLR2004 - a status
    return Answer(status, _encode({"error": text}), close=True)
