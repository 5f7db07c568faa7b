"""Answers: receipts and fates as HTTP. The one place where a fate meets a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from relay.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.errors import Rejected, Unavailable
    from relay.core.model import Receipt

# All that is wrong with a signature is answered alike: a forger learns nothing from it.
UNAUTHENTICATED = "the signature is missing or wrong"
REFUSALS: Mapping[Refusal, tuple[int, str]] = {
    Refusal.MISSING_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.REPEATED_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.MALFORMED_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.AMBIGUOUS_CONTENT: (401, UNAUTHENTICATED),
    Refusal.BAD_SIGNATURE: (401, UNAUTHENTICATED),
    Refusal.UNKNOWN_PATH: (404, "no source has this path"),
    Refusal.METHOD: (405, "deliveries are posted"),
    Refusal.BODY_INCOMPLETE: (400, "the body ended early or was framed wrongly"),
    Refusal.BODY_TOO_SLOW: (408, "the body took too long"),
    Refusal.BODY_TOO_LARGE: (413, "the body is larger than this relay takes"),
    Refusal.ENCODED_BODY: (415, "the body must be sent as it was signed, without Content-Encoding"),
    Refusal.UNREADABLE_REQUEST: (400, "the request is not valid HTTP"),
}
HEADERS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Signature"}, 405: {"Allow": "POST"}}

_encode = msgspec.json.Encoder().encode


def accepted(receipt: Receipt) -> web.Response:
    """Give the answer to an accepted delivery: 202 and its receipt."""
    fields: dict[str, object] = {"delivery": receipt.delivery, "id": receipt.id, "status": receipt.status}
    if receipt.reason:
        fields["reason"] = receipt.reason
    if receipt.first:
        fields["first"] = receipt.first
    fields["records"] = receipt.records
    return _answer(202, fields)


def rejected(fate: Rejected) -> web.Response:
    """Give the answer to a request that was the sender's fault."""
    status, text = REFUSALS[fate.refusal]
    return _answer(status, {"error": text}, HEADERS.get(status))


def unavailable(fate: Unavailable) -> web.Response:
    """Give the answer to a request that could not be stored: 429 under load, else 503."""
    status, text = (429, "too many requests at once") if fate.busy else (503, "the delivery could not be stored")
    return _answer(status, {"error": text}, {"Retry-After": str(fate.retry_after)})


def unreadable(status: int) -> web.Response:
    """Give the answer to what the HTTP parser refused."""
    text = "a line of the request's head is too long" if status == 431 else REFUSALS[Refusal.UNREADABLE_REQUEST][1]  # noqa: PLR2004 - a status
    response = _answer(status, {"error": text})
    response.force_close()
    return response


def _answer(status: int, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=_encode(fields),
        headers={"Content-Type": "application/json", "Server": "relay", **(headers or {})},
    )
