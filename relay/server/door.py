"""Door: what is asked of a client beside the signature, and how often its signature may be wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relay.core.bucket import Buckets
from relay.core.errors import Refusal, Rejected
from relay.core.gate import client_of, is_in, neighbourhood

if TYPE_CHECKING:
    from relay.config import Listen
    from relay.core.gate import Address
    from relay.core.model import Source
    from relay.server.request import Request

FAILURES_A_SECOND = 10.0  # of one network, in the long run: of signatures for one source, and of all that fails here
FAILURES_AT_ONCE = 100
NETWORKS = 4096


class Door:
    """Knows who a client is, and counts the failures of each client's network.

    A delivery whose signature fits never comes to be counted, however many others of its network fail. One under a
    key that is new is counted, and is to find room: so signatures are counted by source and network, and apart from
    them, by network, what fails without one that could be looked at.
    """

    def __init__(self, listen: Listen) -> None:
        """Believe the proxies of `listen.trusted_proxies` who their clients are."""
        self._proxies = listen.trusted_proxies
        self._signatures = Buckets(FAILURES_A_SECOND, FAILURES_AT_ONCE, NETWORKS)
        self._others = Buckets(FAILURES_A_SECOND, FAILURES_AT_ONCE, NETWORKS)

    def client(self, request: Request) -> Address | None:
        """Give the address of who sent a request; None when the connection is gone."""
        peer = self._peer(request)
        forwarded = request.headers.getall("X-Forwarded-For", ()) if self._proxies else ()
        return client_of(peer, forwarded, self._proxies)

    @staticmethod
    def _peer(request: Request) -> str:
        """Give the address that connected, empty when the connection is gone."""
        transport = request.connection.transport
        peer = transport.get_extra_info("peername") if transport else None
        return str(peer[0]) if peer else ""

    def check(self, source: Source, request: Request) -> None:
        """Refuse by a request's head who is not from where, or does not carry what, the source asks for.

        Raises Rejected: foreign_network, bad_query; its detail says what was asked for.
        """
        gate = source.gate
        if gate.networks and not gate.admits(client := self.client(request)):
            raise Rejected(Refusal.FOREIGN_NETWORK, self._foreign(client, source, request))
        if gate.query:
            query = request.url.query
            given = {name: query.getall(name, []) for name in gate.query}
            if missed := gate.misses(given):
                raise Rejected(Refusal.BAD_QUERY, missed)

    def _foreign(self, client: Address | None, source: Source, request: Request) -> str:
        """Say who is refused, and whether it may be a proxy that nobody told the relay of."""
        peer = client_of(self._peer(request), (), ())
        proxy = peer is not None and is_in(peer, self._proxies)
        sent = "X-Forwarded-For" in request.headers
        aside = "; it sent X-Forwarded-For, but is no trusted proxy" if sent and not proxy else ""
        return f"{client or 'the client'} is in no network of {source.name}{aside}"

    def may_misfit(self, source: Source, request: Request) -> bool:
        """Count a signature that fits no key of a source; False when too many of its network's did lately."""
        return self._signatures.take((source.name, self._network(request)), time.monotonic())

    def may_fail(self, request: Request) -> bool:
        """Count a request that failed for another reason; False when too many of its network's did lately."""
        return self._others.take(self._network(request), time.monotonic())

    def _network(self, request: Request) -> tuple[int, int] | None:
        client = self.client(request)
        return neighbourhood(client) if client else None
