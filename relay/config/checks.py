"""What single fields cannot say of themselves: the fields that have to fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from relay.config.entry import AdminEntry
from relay.config.interpolation import UnresolvedError, read_secret
from relay.config.model import Admin, Kafka, Listen, Protocol, Security, Spool
from relay.config.text import Hidden, Secret, unreadable
from relay.config.url import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from relay.config.reading import Reading

_SASL = (Protocol.SASL_PLAINTEXT, Protocol.SASL_SSL)
_TLS = (Protocol.SSL, Protocol.SASL_SSL)
_TOKEN = Hidden(16)
_BODIES = 4


def read_admin(reading: Reading, listen: Listen | None, *, secrets: bool) -> Admin | None:
    """Give the admin listener with its token read; off loopback there has to be one."""
    entry = reading.part(AdminEntry, ("admin",))
    if entry is None:
        return None
    if listen and entry.port and (entry.host, entry.port) == (listen.host, listen.port):
        reading.fault(("admin", "port"), "is that of the ingest listener too; each needs its own")
    if entry.token_file is None:
        if not is_loopback(entry.host):
            what = "is missing: off loopback the admin listener needs a token"
            reading.fault(("admin", "token_file"), what, absent=True)
        return Admin(entry.host, entry.port)
    return Admin(entry.host, entry.port, _token(reading, entry.token_file) if secrets else Secret("placeholder"))


def check_kafka(reading: Reading, kafka: Kafka | None, *, files: bool) -> None:
    """Gather what does not fit in the Kafka section; with `files` also those that cannot be read.

    The security is looked at by itself, so that a fault elsewhere in the section does not hide its own.
    """
    if kafka and kafka.request_timeout > kafka.delivery_timeout:
        what = f"must not be longer than delivery_timeout, which is {kafka.delivery_timeout:g}s"
        reading.fault(("kafka", "request_timeout"), what)
    security = reading.part(Security, ("kafka", "security"))
    if security is None:
        return
    _check_sasl(reading, security)
    _check_tls(reading, security)
    for name, path in (
        ("ca_file", security.ca_file),
        ("cert_file", security.cert_file),
        ("key_file", security.key_file),
    ):
        why = unreadable(path) if files and path else None
        if why:
            reading.fault(("kafka", "security", name), f"cannot be read: {why}")


def check_spool(reading: Reading, listen: Listen | None, spool: Spool | None) -> None:
    """Gather a spool that the largest bodies would fill at once."""
    if listen and spool and spool.max_size < _BODIES * listen.max_body:
        what = f"must hold at least {_BODIES} bodies of listen.max_body, which is {listen.max_body} bytes"
        reading.fault(("spool", "max_size"), what)


def _check_sasl(reading: Reading, security: Security) -> None:
    """Gather what a login lacks, and one without SASL, which would silently not be used."""
    login = {"mechanism": security.mechanism, "username": security.username, "password": security.password}
    for name, value in login.items():
        path = ("kafka", "security", name)
        if security.protocol in _SASL and value is None:
            reading.fault(path, f"is missing: the protocol {security.protocol} needs it", absent=True)
        elif security.protocol not in _SASL and value is not None:
            reading.fault(path, f"is only for SASL_PLAINTEXT and SASL_SSL, and the protocol is {security.protocol}")


def _check_tls(reading: Reading, security: Security) -> None:
    """Gather certificates without TLS, and a client's certificate without its key."""
    files = {"ca_file": security.ca_file, "cert_file": security.cert_file, "key_file": security.key_file}
    for name, value in files.items():
        if security.protocol not in _TLS and value is not None:
            what = f"is only for SSL and SASL_SSL, and the protocol is {security.protocol}"
            reading.fault(("kafka", "security", name), what)
    for name, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if files[name] is None and files[other] is not None:
            reading.fault(("kafka", "security", name), f"is missing: {other} is of no use without it", absent=True)


def _token(reading: Reading, path: Path) -> Secret | None:
    """Read the admin listener's token, which has to fit into a header."""
    try:
        token = _TOKEN.parse(read_secret(str(path)))
    except UnresolvedError as error:
        reading.fault(("admin", "token_file"), str(error))
        return None
    except PydanticCustomError as error:
        reading.fault(("admin", "token_file"), f"holds a token that {error.message()}")
        return None
    if not (token.reveal().isascii() and token.reveal().isprintable() and " " not in token.reveal()):
        reading.fault(("admin", "token_file"), "holds a token that is not of visible ASCII characters alone")
    return token
