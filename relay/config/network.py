"""Networks of clients, as the configuration writes them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from relay.config.interpolation import Placeholder
from relay.config.scalar import Scalar, wrong
from relay.config.text import text_of

_MAPPED = IPv6Network("::ffff:0:0/96")


class Cidr(Scalar[IPv4Network | IPv6Network]):
    """One network or address: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`."""

    def parse(self, value: object) -> IPv4Network | IPv6Network:
        """Read a network; one with bits set beside its mask is refused, as one of the two is not meant."""
        text = text_of(value)
        if isinstance(value, Placeholder):
            return _MAPPED
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise wrong("must be an address or a network, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32") from None
        if "/" in text and str(network.network_address) != str(ip_network(text.partition("/")[0]).network_address):
            raise wrong("must be a network, without bits beside its mask", f"did you mean {network}?")
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            raise wrong("must be written as IPv4: clients are compared as that")
        return network
