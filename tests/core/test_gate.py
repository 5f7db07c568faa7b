"""Who a client is, and what a source asks before it reads a body."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.gate import MAX_HOPS, Gate, client_of, neighbourhood

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))
CODE = b"a-code-of-sixteen"

CLIENTS = [
    ("nobody between", "192.0.2.7", ["198.51.100.9"], "192.0.2.7"),
    ("a proxy that says nothing", "10.0.0.1", [], "10.0.0.1"),
    ("one proxy", "10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
    ("what the client wrote itself stands left", "10.0.0.1", ["127.0.0.1, 198.51.100.9"], "198.51.100.9"),
    ("two proxies", "10.0.0.1", ["127.0.0.1, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),
    ("many headers are one list", "10.0.0.1", ["127.0.0.1", "198.51.100.9", "10.0.0.2"], "198.51.100.9"),
    ("all are proxies", "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("an address of IPv4 in the clothes of IPv6", "::ffff:10.0.0.1", ["::ffff:198.51.100.9"], "198.51.100.9"),
    ("a proxy of IPv6", "2001:db8:1::5", ["2001:db8:2::9"], "2001:db8:2::9"),
    ("with ports", "10.0.0.1", ["127.0.0.1, 198.51.100.9:4711"], "198.51.100.9"),
    ("IPv6 with a port", "10.0.0.1", ["[2001:db8:2::9]:4711"], "2001:db8:2::9"),
    ("what cannot be read is the proxy's word", "10.0.0.1", ["198.51.100.9, unknown"], "10.0.0.1"),
    ("nothing between commas", "10.0.0.1", ["198.51.100.9, "], "10.0.0.1"),
    ("not ASCII", "10.0.0.1", ["198.51.100.\udcff"], "10.0.0.1"),
    ("no address", "", ["198.51.100.9"], None),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), [case[1:] for case in CLIENTS], ids=[c[0] for c in CLIENTS])
def test_the_client_is_the_rightmost_who_is_no_proxy(peer: str, forwarded: list[str], client: str | None) -> None:
    """Only a trusted proxy is believed, and only what it added itself."""
    assert client_of(peer, forwarded, PROXIES) == (client and ip_address(client))


def test_a_long_way_is_not_walked() -> None:
    """A header of a hundred thousand proxies costs sixteen looks."""
    hops = ["10.0.0.9, " * 100_000 + "198.51.100.9" + ", 10.0.0.9" * (MAX_HOPS - 1)]
    assert client_of("10.0.0.1", hops, PROXIES) == ip_address("198.51.100.9")
    hops = ["198.51.100.9" + ", 10.0.0.9" * MAX_HOPS]
    assert client_of("10.0.0.1", hops, PROXIES) == ip_address("10.0.0.9")


@given(st.text(), st.lists(st.text(alphabet="0123456789abcdef:.,[] %"), max_size=4))
def test_any_header_is_read(peer: str, forwarded: list[str]) -> None:
    """Whatever stands there, it raises nothing, and a stranger is not believed."""
    client_of(peer, forwarded, PROXIES)
    client_of("10.0.0.1", forwarded, PROXIES)
    assert client_of("192.0.2.7", forwarded, PROXIES) == ip_address("192.0.2.7")


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"code": [CODE.decode()]}, True),
        ({"code": [CODE.decode()], "more": ["x"]}, True),
        ({"code": [CODE.decode()[:-1]]}, False),
        ({"code": [CODE.decode(), CODE.decode()]}, False),
        ({"code": ["\udcff"]}, False),
        ({"code": []}, False),
        ({"Code": [CODE.decode()]}, False),
        ({}, False),
    ],
)
def test_a_query_carries_the_secret_once(given: dict[str, list[str]], known: bool) -> None:
    """Once, whole, under its name."""
    assert (Gate(query={"code": CODE}).misses(given) == "") is known


def test_every_secret_is_asked_for() -> None:
    """Of several, each has to be there; a gate that asks for none is open."""
    gate = Gate(query={"code": CODE, "other": CODE[::-1]})
    assert gate.misses({"code": [CODE.decode()]})
    assert gate.misses({"other": [CODE[::-1].decode()]})
    assert not gate.misses({"code": [CODE.decode()], "other": [CODE[::-1].decode()]})
    assert not Gate().misses({})
    assert CODE.decode() not in repr(gate)


def test_networks_admit_their_own() -> None:
    """Without networks everybody; with them those inside, and never an unknown."""
    gate = Gate(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    admitted = {text: gate.admits(ip_address(text)) for text in ("192.0.2.255", "192.0.3.0", "2001:db8::1", "::1")}
    assert admitted == {"192.0.2.255": True, "192.0.3.0": False, "2001:db8::1": True, "::1": False}
    assert not gate.admits(None)
    assert Gate().admits(None)


def test_neighbours_count_as_one() -> None:
    """24 bits of IPv4, 64 of IPv6; and one is never taken for the other."""
    assert neighbourhood(ip_address("192.0.2.1")) == neighbourhood(ip_address("192.0.2.254"))
    assert neighbourhood(ip_address("192.0.2.1")) != neighbourhood(ip_address("192.0.3.1"))
    assert neighbourhood(ip_address("2001:db8::1")) == neighbourhood(ip_address("2001:db8::ffff:0:0:1"))
    assert neighbourhood(ip_address("2001:db8::1")) != neighbourhood(ip_address("2001:db8:0:1::1"))
    assert neighbourhood(ip_address("0.0.2.1")) != neighbourhood(ip_address("::2:0:0:0:1"))
