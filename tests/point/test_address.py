"""Which addresses are called: public ones, decided at each connection, and nothing in the clear."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relay.point import Point, PointError
from relay.point.address import is_public

if TYPE_CHECKING:
    from pathlib import Path

    from relay.sandbox.simulated import SimulatedPoint


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("20.190.128.1", True),
        ("2603:1006::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.1.2.3", False),
        ("::ffff:20.190.128.1", True),
        ("64:ff9b::10.1.2.3", False),
        ("2002:0a01:0203::1", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("64:ff9b:1::7f00:1", False),
        ("::ffff:0:127.0.0.1", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    """Only the public internet is public, also when an address of IPv4 stands inside one of IPv6."""
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_private_address_is_called_only_when_that_is_configured(simulated: SimulatedPoint, host: str) -> None:
    """Without `allow_private` nothing is sent, and the error names the key to set."""
    url = simulated.url.replace("127.0.0.1", host)
    config = replace(simulated.config(), url=url, authority=url)
    async with Point(replace(config, allow_private=False)) as point:
        with pytest.raises(PointError, match="set allow_private: true") as caught:
            await point.signature_key()
    assert not caught.value.curable
    assert not simulated.asked
    async with Point(config) as point:
        assert await point.signature_key()


async def test_a_name_is_judged_by_where_it_leads(simulated: SimulatedPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name that resolves to a private address, now or at a later connection, is not called."""
    port = int(simulated.url.rpartition(":")[2])

    async def inside(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", inside)
    url = f"https://point.contoso.com:{port}"
    async with Point(replace(simulated.config(), url=url, authority=url, allow_private=False)) as point:
        with pytest.raises(PointError, match="its address is private"):
            await point.signature_key()


async def test_nothing_is_sent_in_the_clear(simulated: SimulatedPoint) -> None:
    """Plain http to another machine is refused before anything is sent, for the token and for the API."""
    url = "http://point.contoso.com"
    async with Point(replace(simulated.config(), authority=url)) as point:
        with pytest.raises(PointError, match=r"^POST http://point\.contoso\.com/.+ must be https"):
            await point.signature_key()
    async with Point(replace(simulated.config(), url=url)) as point:
        with pytest.raises(PointError, match=r"^GET http://point\.contoso\.com/.+ must be https"):
            await point.signature_key()


async def test_a_certificate_that_nobody_vouches_for_is_told(simulated: SimulatedPoint, tmp_path: Path) -> None:
    """Whoever cannot prove to be the host gets no secret, and waiting is no cure."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=_self_signed(tmp_path))
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Point(replace(simulated.config(), authority=url)) as point:
            with pytest.raises(PointError, match="its certificate is not trusted") as caught:
                await point.signature_key()
    assert not caught.value.curable


def _self_signed(folder: Path) -> ssl.SSLContext:
    """Give what a server needs to speak TLS with a certificate of its own making."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    of = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *new, *of, *files], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
