"""Deliveries: signed requests of the documented types, each with an id of its own, rendered before they are sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import random
import uuid
from itertools import cycle, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

KEY = "a-key-for-the-benchmark-only"
PATH = "/webhooks/bench"
WORKSPACES = 500  # so many keys of records

_CONTENTS = {
    "ProvisioningStarted": (
        '{{"name":"{name}","type":"MicrosoftTeams","requestedOn":"2023-10-05T14:48:00","requesterId":"{guid}"}}'
    ),
    "ProvisioningCompleted": (
        '{{"name":"{name}","type":"SharePointSiteCollection","url":"https://contoso.sharepoint.com/sites/{name}",'
        '"microsoftId":"{guid}"}}'
    ),
    "ProvisioningFailed": (
        '{{"name":"{name}","type":"M365Group","error":"The alias is taken.","correlationId":"{guid}"}}'
    ),
}


def write(path: Path, count: int) -> None:
    """Write `count` requests with fresh ids to a file, each after eight digits that give its length in bytes."""
    requests = (render(body) for body in bodies(count))
    _write(path, (b"%08d" % len(request) + request for request in requests))


def write_targets(path: Path, count: int, port: int) -> None:
    """Write `count` requests with fresh ids to a file, a line each, as vegeta reads them."""
    url = f"http://127.0.0.1:{port}{PATH}"
    _write(path, (target(body, url) for body in bodies(count)))


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
        # To disk now, and not during the measurement, where it would be in the way of the spool.
        file.flush()
        os.fsync(file.fileno())


def bodies(count: int) -> Iterator[bytes]:
    """Give bodies as Syskit Point documents them, of its three types in turn."""
    for kind, template in islice(cycle(_CONTENTS.items()), count):
        content = template.format(name=f"workspace-{random.randrange(WORKSPACES)}", guid=_guid())
        meta = f'{{"timeStamp":"2023-10-05T14:48:00","idempotencyKey":"{_guid()}"}}'
        yield f'{{"type":"{kind}","content":{content},"meta":{meta}}}'.encode()


def render(body: bytes) -> bytes:
    """Give the whole HTTP request, signed."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Signature: {sign(body)}\r\nAlgorithm: HMACSHA256\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def target(body: bytes, url: str) -> bytes:
    """Give the request, signed, as a line of JSON."""
    encoded = base64.b64encode(body).decode()
    header = f'{{"Content-Type":["application/json"],"Signature":["{sign(body)}"],"Algorithm":["HMACSHA256"]}}'
    return f'{{"method":"POST","url":"{url}","body":"{encoded}","header":{header}}}\n'.encode()


def sign(body: bytes) -> str:
    """Sign a body as Syskit Point does."""
    return base64.b64encode(hmac.digest(KEY.encode(), body, hashlib.sha256)).decode()


def _guid() -> str:
    # Not uuid4: a system call for each id would take longer than all else here.
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
