"""What the tests of the core share: one source, one key, and the rules of the manual."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from relay.core import signature
from relay.core.model import Key, Signs, Source
from relay.core.routing import compile_route

if TYPE_CHECKING:
    from relay.core.model import Delivery

SECRET = b"158b08cc-6a06-49f2-a724-2bc514fdcf1e"
OTHER_SECRET = b"0f8fad5b-d9cb-469f-a165-70867728950e"

SOURCE = Source(
    name="contoso",
    path="/webhooks/contoso",
    uri="urn:syskit-point:contoso",
    keys=(Key(signature.fingerprint(SECRET), SECRET),),
    signs=Signs.BODY,
    time_zone=ZoneInfo("UTC"),
)
CONTENT_SOURCE = replace(SOURCE, signs=Signs.CONTENT)

ROUTES = (
    compile_route("silence", {"match": {"type": "Heartbeat"}, "drop": True}),
    compile_route(
        "failures-to-ops",
        {"match": {"type": "ProvisioningFailed"}, "topics": ["ops.provisioning-failed"], "continue": True},
    ),
    compile_route("by-type", {"match": {}, "topics": ["syskit.{type}"]}),
)


def deliver(body: bytes, source: Source = SOURCE) -> Delivery:
    """Sign a body as the source's sender does, and authenticate it."""
    signed = signature.sign(source.keys[0].secret, signature.message_of(source.signs, body))
    return signature.authenticate(source, [signed], body, algorithms=[], received_at=0.0, traceparent=None)
