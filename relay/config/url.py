"""Web addresses: which may be called, and how one is written where others read it."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from relay.config.interpolation import Placeholder
from relay.config.scalar import Scalar, wrong
from relay.config.text import text_of

_MAX_URL = 2048
_RULE = "must be a URL without user, white space or fragment, such as https://point.contoso.com"
_PLAIN = "must be an https:// URL; http:// is only for this machine itself"


class Url(Scalar[str]):
    """An absolute URL: https, or http to this machine. A query only where `query` says so."""

    def __init__(self, *, query: bool = False) -> None:
        """Set whether there may be a query."""
        self.query = query

    def parse(self, value: object) -> str:
        """Read a URL; without `query` a slash at its end is dropped, as paths are put behind it."""
        text = text_of(value)
        if isinstance(value, Placeholder):
            return text
        parts = _split(text)
        if not (is_loopback(parts.hostname or "") or parts.scheme == "https"):
            raise wrong(_PLAIN)
        if not self.query and "?" in text:
            raise wrong("must have no query")
        return text if self.query else text.rstrip("/")


def shown(url: str) -> str:
    """Write a URL as logs and errors may have it: its query, which may hold a secret, is masked."""
    before, mark, _ = url.partition("?")
    return f"{before}?***" if mark else before


def comparable(url: str) -> str:
    """Give what two spellings of one URL have in common: scheme and host in lower case, no default port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url
    host = f"[{host}]" if ":" in host else host
    usual = port is None or (parts.scheme, port) in {("https", 443), ("http", 80)}
    return parts._replace(netloc=host if usual else f"{host}:{port}", path=parts.path or "/").geturl()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address; a name may change, so only one is trusted."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> SplitResult:
    """Take a URL apart; raises what `wrong` makes when it is none that can be called."""
    plain = len(text) <= _MAX_URL and text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}#')
    try:
        parts = urlsplit(text)
        good = plain and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        raise wrong(_RULE) from None
    if not good or "@" in parts.netloc:
        raise wrong(_RULE)
    return parts
