"""The relay that is drilled, as a process: `python -m relay.sandbox.drilled`, with its orders in the environment.

It is the relay by the user's own configuration, but for a spool, ports and topics of its own, and its way to
Kafka: each broker's address leads to a proxy. Names, certificates and passwords stay the brokers' own. Syskit
Point is left alone: nothing is registered there, and a source that fetches its key gets one of the drill's. Nobody
but the drill sends, from this machine: what a source asks for beside the signature is not asked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from relay import app, config, logs
from relay.core.gate import Gate
from relay.core.model import Key
from relay.core.signature import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from relay.config import Config
    from relay.core.model import Event, Route, Template

ORDERS = "RELAY_DRILL"
STOP = 5.0  # seconds; what is pending then waits on disk, as ever


class Orders(msgspec.Struct, frozen=True):
    """What differs from the user's configuration. `ways` leads from a broker's `host:port` to a proxy's port."""

    config: str
    variables: dict[str, str]
    prefix: str
    spool: str
    max_size: int
    port: int
    admin_port: int
    key: str
    embedded: tuple[str, ...] = ()
    ways: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Prefixed:
    """A topic's template with a prefix, which no topic of the user's has."""

    prefix: str
    template: Template

    @property
    def source(self) -> str:
        """The text as the configuration would have it."""
        return self.prefix + self.template.source

    @property
    def literal(self) -> str | None:
        """The whole text when it has no placeholder, else None."""
        return None if self.template.literal is None else self.prefix + self.template.literal

    def fill(self, event: Event) -> str | None:
        """Give the topic for an event, or None when it has none."""
        topic = self.template.fill(event)
        return None if topic is None else self.prefix + topic


class SteeredLoop(asyncio.SelectorEventLoop):
    """An event loop on which connections to some addresses go another way."""

    def __init__(self, ways: Mapping[str, int]) -> None:
        """Lead connections to each `host:port` to a port on loopback."""
        super().__init__()
        self._ways = ways

    async def create_connection(  # type: ignore[override]  # whatever else it is asked for is passed on
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,  # noqa: ANN401 - as asyncio has them
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect; TLS goes on with the name of the one who was meant."""
        if way := self._ways.get(f"{host}:{port}"):
            if options.get("ssl"):
                options.setdefault("server_hostname", host)
            host, port = "127.0.0.1", way
        return await super().create_connection(factory, host, port, **options)  # type: ignore[arg-type]  # both or none


def load(orders: Orders) -> Config:
    """Read the user's configuration and make the drill's of it. Raises `config.Faulty`."""
    own = config.load(Path(orders.config), {**os.environ, **orders.variables})
    mirror = own.dead_letters.topic
    kafka = replace(own.kafka, topics=replace(own.kafka.topics, create=True))
    if orders.embedded:
        kafka = replace(kafka, bootstrap_servers=orders.embedded, security=config.Security())
    secret = orders.key.encode()
    keys = (Key(fingerprint(secret), secret),)
    return replace(
        own,
        sources=tuple(replace(source, keys=source.keys or keys, gate=Gate(), max_age=None) for source in own.sources),
        points={},
        listen=replace(own.listen, host="127.0.0.1", port=orders.port, trusted_proxies=()),
        admin=config.Admin(port=orders.admin_port),
        kafka=kafka,
        routes=tuple(_prefixed(route, orders.prefix) for route in own.routes),
        dead_letters=replace(own.dead_letters, topic=mirror and orders.prefix + mirror),
        stop=config.Stop(STOP),
        spool=replace(own.spool, path=Path(orders.spool), max_size=orders.max_size),
    )


def main() -> None:
    """Run the relay by the orders, until a signal ends it."""
    orders = msgspec.json.decode(os.environ[ORDERS], type=Orders)
    settings = load(orders)
    logs.configure("info", "json", sys.stderr.buffer, {})
    cluster = None
    if orders.embedded:
        from confluent_kafka import Producer

        from relay.sandbox.embedded import EmbeddedCluster, ask_for

        client = Producer({"bootstrap.servers": ",".join(orders.embedded), "log_level": 0})
        cluster = EmbeddedCluster(settings.kafka, partial(ask_for, client))
    with asyncio.Runner(loop_factory=lambda: SteeredLoop(orders.ways)) as runner:
        runner.run(app.run(settings, cluster))


def _prefixed(route: Route, prefix: str) -> Route:
    return replace(route, topics=tuple(Prefixed(prefix, template) for template in route.topics))


if __name__ == "__main__":
    main()
