"""Which addresses may be called: decided for the very address of each connection.

A name is resolved anew for each connection, so it is not the name that is judged, nor an earlier
resolution: whoever owns the name could change either.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.connector import AddrInfoType

_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
"""What Python takes for global: addresses of IPv4 inside IPv6 for local translation, and the old site-local ones."""


class PrivateAddressError(OSError):
    """The address is none of the public internet; the text is always the same, as aiohttp compares them."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the address is private")


def public_socket(info: AddrInfoType) -> socket.socket:
    """Open a socket for a public address; raises `PrivateAddressError` for any other."""
    if not is_public(str(info[4][0])):
        raise PrivateAddressError
    return any_socket(info)


def any_socket(info: AddrInfoType) -> socket.socket:
    """Open a socket for any address."""
    return socket.socket(info[0], info[1], info[2])


def is_public(text: str) -> bool:
    """Tell whether an address is of the public internet, also when it wraps one of IPv4."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if any(address in network for network in _NOT_PUBLIC):
            return False
        address = inner or address
    return address.is_global and not address.is_multicast
