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
    started = _sample(source, "A team is requested: the event becomes a record.", "published", _started("Marketing"))
    completed = _sample(source, "The team is there: its type names the topic.", "published", _completed("Marketing"))
    failed = _sample(source, "Another one failed: two rules match, and each gives a record.", "published", _failed())
    unknown = _sample(source, "A type that nobody documented is routed like any other.", "published", _undocumented())
    again = replace(
        started, title="The first one comes again: it is recognised, and not published twice.", status="duplicate"
    )
    forged = replace(
        completed,
        title="A forgery, altered after it was signed: it is refused, and nothing is stored.",
        status=None,
        body=completed.body.replace(b'"Marketing"', b'"Salaries"'),
    )
    malformed = _sample(
        source,
        "Authentic, but cut short: it is not refused, as nobody would send it again, but kept.",
        "dead",
        _started("Legal")[:96],
    )
    dropped = _sample(source, "What a rule drops is dropped by name, and counted.", "dropped", _started("sandbox-42"))
    return (started, completed, failed, unknown, again, forged, malformed, dropped)


def own_sample(source: Source) -> Sample:
    """Make one more for whoever posts it, a ProvisioningCompleted."""
    return _sample(source, "Post one yourself; again, and it is a duplicate:", "published", _completed("Sales"))


def _completed(name: str) -> bytes:
    content = {
        "name": name,
        "type": "MicrosoftTeams",
        "url": f"https://contoso.sharepoint.com/sites/{name}",
        "microsoftId": str(uuid4()),
    }
    return _body("ProvisioningCompleted", content)


def _started(name: str) -> bytes:
    content = {
        "name": name,
        "type": "MicrosoftTeams",
        "requestedOn": "2026-08-03T09:15:00",
        "requesterId": str(uuid4()),
    }
    return _body("ProvisioningStarted", content)


def _failed() -> bytes:
    content = {
        "name": "Research",
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
