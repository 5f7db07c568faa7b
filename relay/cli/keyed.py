"""The keys that a verb may look at without the relay: the configured ones, and those fetched from Syskit Point."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from relay.core.errors import Unavailable
from relay.core.signature import authenticate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.config import Config
    from relay.core.model import Source
    from relay.keys import Known


def keyed(config: Config) -> Known:
    """Give the keys of every source; of the configured ones alone, and that said, where the others cannot be read."""
    from relay.keys import Known, known_keys

    try:
        return known_keys(config)
    except Unavailable as error:
        click.echo(f"relay: the fetched keys are not looked at: {error}", err=True)
        good = {source.name: source for source in config.sources}
        over = {name: replace(source, keys=()) for name, source in good.items()}
        return Known(good, over, dict.fromkeys(good, frozenset()))


def key_of(source: Source, signatures: Sequence[str], body: bytes) -> str:
    """Give the fingerprint of the source's key that a request is signed with. Raises `Rejected`."""
    return authenticate(source, signatures, body, algorithms=(), received_at=0.0, traceparent=None).key_id
