"""Gate: what a source asks of a request before its body is read. It is a second lock, and never the only one.

A client is the address that connected. Where that is a trusted proxy, it is the rightmost address of
`X-Forwarded-For` that is not one: proxies add at the right, and what stands further left anybody may have written.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_HOPS = 16
"""Addresses of a header that are looked at; a longer way through trusted proxies is none that anybody built."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The networks that clients of a source may be in, and the parameters that its URL carries; empty asks nothing."""

    networks: tuple[Network, ...] = ()
    query: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def admits(self, client: Address | None) -> bool:
        """Tell whether a client may ask at all; an unknown one only where every one may."""
        return not self.networks or (client is not None and is_in(client, self.networks))

    def misses(self, given: Mapping[str, Sequence[str]]) -> str:
        """Say why a query, each parameter with all its values, does not carry the secrets; empty when it does.

        Each is compared, always and in constant time; one that is repeated does not count. Nothing that the sender
        wrote is in what is said.
        """
        wrong = []
        for name, secret in self.query.items():
            values = given.get(name, ())
            said = values[0].encode("utf-8", "replace") if len(values) == 1 else b""
            if not hmac.compare_digest(said, secret):
                there = f"there {len(values)} times" if values else "missing"
                wrong.append(f"`{name}` has another value" if len(values) == 1 else f"`{name}` is {there}")
        return f"its query: {', '.join(wrong)}" if wrong else ""


def client_of(peer: str, forwarded: Sequence[str], proxies: Collection[Network]) -> Address | None:
    """Give the address of the client; None when `peer`, the address that connected, is none.

    `forwarded` are all values of `X-Forwarded-For`, as received. Where one of its addresses cannot be read, the
    proxy that wrote it is taken for the client.
    """
    client = _address(peer)
    for hop in islice(_from_right(forwarded), MAX_HOPS):
        if client is None or not is_in(client, proxies):
            break
        before = _address(hop)
        if before is None:
            break
        client = before
    return client


def neighbourhood(client: Address) -> tuple[int, int]:
    """Give what those have in common who count as one client: the first 24 bits of an address, and 64 of IPv6."""
    return client.version, int(client) >> (8 if client.version == 4 else 64)  # noqa: PLR2004 - a version


def is_in(client: Address, networks: Collection[Network]) -> bool:
    """Tell whether an address is in one of the networks."""
    return any(client in network for network in networks)


def _from_right(forwarded: Sequence[str]) -> Iterator[str]:
    """Give the entries of the header from the last to the first: several headers are one list (RFC 9110, 5.3)."""
    for value in reversed(forwarded):
        yield from reversed(value.rsplit(",", MAX_HOPS)[-MAX_HOPS:])


def _address(text: str) -> Address | None:
    """Read an address, which may have a port; one of IPv4 in the clothes of IPv6 is one of IPv4."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
