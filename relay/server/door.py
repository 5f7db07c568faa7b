"""Door: what is asked of a client beside the signature, and how often its signature may be wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relay.core.bucket import Buckets
from relay.core.errors import Refusal, Rejected
from relay.core.gate import client_of, neighbourhood

if TYPE_CHECKING:
    from relay.config import Listen
    from relay.core.gate import Address, Gate
    from relay.server.connection import Request

FAILURES_A_SECOND = 10.0  # of one network, in the long run
FAILURES_AT_ONCE = 100
NETWORKS = 4096


class Door:
    """Knows who a client is, and counts the failures of each client's network.

    A delivery whose signature fits never comes to be counted, however many others of its network fail.
    """

    def __init__(self, listen: Listen) -> None:
        """Believe the proxies of `listen.trusted_proxies` who their clients are."""
        self._proxies = listen.trusted_proxies
        self._failures = Buckets(FAILURES_A_SECOND, FAILURES_AT_ONCE, NETWORKS)

    def client(self, request: Request) -> Address | None:
        """Give the address of who sent a request; None when the connection is gone."""
        transport = request.connection.transport
        peer = transport.get_extra_info("peername") if transport else None
        if not peer:
            return None
        forwarded = request.headers.getall("X-Forwarded-For", ()) if self._proxies else ()
        return client_of(str(peer[0]), forwarded, self._proxies)

    def check(self, gate: Gate, request: Request) -> None:
        """Refuse by a request's head who is not from where, or does not carry what, the source asks for.

        Raises Rejected: foreign_network, bad_query.
        """
        if gate.networks and not gate.admits(self.client(request)):
            raise Rejected(Refusal.FOREIGN_NETWORK)
        if gate.query:
            query = request.url.query
            if not gate.knows({name: query.getall(name, []) for name in gate.query}):
                raise Rejected(Refusal.BAD_QUERY)

    def may_fail(self, request: Request) -> bool:
        """Count a failure; False when its network has failed too often, and is to cost nothing more."""
        client = self.client(request)
        return self._failures.take(client and neighbourhood(client), time.monotonic())
