"""Samples: one delivery for each thing that can become of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from relay.sandbox.sender import headers_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.core.model import Source


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to the relay: what it shows, and the status that its receipt must have, None when it gets none."""

    title: str
    status: str | None
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


def samples(source: Source) -> Sequence[Sample]:
    """Make the eight, signed with the source's first key; their ids are new each time.

    In order: the three types that Syskit Point documents, one it does not, the first one again, a
    forgery, one that cannot be read, and one that a rule drops.
    """
    requested = _sample(source, "A team is requested: the event becomes a record.", "published", started("Marketing"))
    done = _sample(source, "The team is there: its type names the topic.", "published", completed("Marketing"))
    gone_wrong = _sample(
        source, "Another one failed: two rules match, and each gives a record.", "published", failed("Research")
    )
    unknown = _sample(source, "A type that nobody documented is routed like any other.", "published", _undocumented())
    again = replace(
        requested, title="The first one comes again: it is recognised, and not published twice.", status="duplicate"
    )
    forged = replace(
        done,
        title="A forgery, altered after it was signed: it is refused, and nothing is stored.",
        status=None,
        body=done.body.replace(b'"Marketing"', b'"Salaries"'),
    )
    malformed = _sample(
        source,
        "Authentic, but cut short: it is not refused, as nobody would send it again, but kept.",
        "dead",
        started("Legal")[:96],
    )
    dropped = _sample(source, "What a rule drops is dropped by name, and counted.", "dropped", started("sandbox-42"))
    return (requested, done, gone_wrong, unknown, again, forged, malformed, dropped)


def own_sample(source: Source) -> Sample:
    """Make one more for whoever posts it, a ProvisioningCompleted."""
    return _sample(source, "Post one yourself; again, and it is a duplicate:", "published", completed("Sales"))


def completed(name: str) -> bytes:
    """Make the body of a ProvisioningCompleted."""
    content = {
        "name": name,
        "type": "MicrosoftTeams",
        "url": f"https://contoso.sharepoint.com/sites/{name}",
        "microsoftId": str(uuid4()),
    }
    return _body("ProvisioningCompleted", content)


def started(name: str) -> bytes:
    """Make the body of a ProvisioningStarted."""
    content = {
        "name": name,
        "type": "MicrosoftTeams",
        "requestedOn": "2026-08-03T09:15:00",
        "requesterId": str(uuid4()),
    }
    return _body("ProvisioningStarted", content)


def failed(name: str) -> bytes:
    """Make the body of a ProvisioningFailed."""
    content = {
        "name": name,
        "type": "SharePointSiteCollection",
        "error": "The URL is taken.",
        "correlationId": str(uuid4()),
    }
    return _body("ProvisioningFailed", content)


def _undocumented() -> bytes:
    return _body("SensitivityLabelChanged", {"name": "Finance", "type": "M365Group", "label": "Confidential"})


def _body(kind: str, content: Mapping[str, str]) -> bytes:
    meta = {"timeStamp": "2026-08-03T09:15:02", "idempotencyKey": str(uuid4())}
    return json.dumps({"type": kind, "content": content, "meta": meta}, separators=(",", ":")).encode()


def _sample(source: Source, title: str, status: str, body: bytes) -> Sample:
    return Sample(title, status, headers_for(source, body), body)
