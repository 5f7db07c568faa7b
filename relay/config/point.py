"""Syskit Point's API, as a source may name it: how it is reached, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, with_config

from relay.config.interpolation import Placeholder, is_bare
from relay.config.model import STRICT, File
from relay.config.scalar import Duration, Flag
from relay.config.text import Hidden, Secret, Text, unreadable
from relay.config.url import Url, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relay.config.document import Steps
    from relay.config.entry import SourceEntry
    from relay.config.reading import Reading

_AUTHORITY = "https://login.microsoftonline.com"

_TENANT = Text(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})", "must be a tenant's id or domain, such as contoso.onmicrosoft.com"
)
_GUID = Text(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "must be the application's id, which is a GUID")
_SCOPE = Text(
    r"[!-~]{1,1000}/\.default", "must end with /.default, as in <id of Syskit Point's API application>/.default"
)
_TYPE = Text(r"\*|[A-Za-z0-9._-]{1,128}", "must be * or the name of a type, such as ProvisioningCompleted")


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class FetchKey:
    """How often the signature key is fetched, and how long the one before it stays good."""

    every: Annotated[float, Duration("1s", "7d")] = 600.0
    overlap: Annotated[float, Duration("0s", "365d")] = 86_400.0


@dataclass(frozen=True, slots=True)
class Register:
    """What Syskit Point is to have registered: a URL and the types to be posted there; looked at every `every`.

    The URL's query may hold a secret, so it is masked where this is printed.
    """

    endpoint: str
    types: tuple[str, ...] = ("*",)
    every: float = 3600.0

    def __repr__(self) -> str:
        return f"Register({shown(self.endpoint)!r}, {self.types!r}, {self.every!r})"


@dataclass(frozen=True, slots=True)
class PointConfig:
    """Syskit Point's API and the application that asks it, with either a secret or a federated token's file.

    `url` and `authority` have no slash at their end. `fetch_key` and `register` are None when not wanted.
    """

    url: str
    tenant: str
    client_id: str
    scope: str
    client_secret: Secret | None = None
    token_file: Path | None = None
    authority: str = _AUTHORITY
    allow_private: bool = False
    fetch_key: FetchKey | None = field(default_factory=FetchKey)
    register: Register | None = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class PointEntry:
    """The section as it is written; its own sections are read one by one, as they may be absent."""

    url: Annotated[str, Url()]
    tenant: Annotated[str, _TENANT]
    client_id: Annotated[str, _GUID]
    scope: Annotated[str, _SCOPE]
    client_secret: Annotated[Secret, Hidden(1)] | None = None
    token_file: File | None = None
    authority: Annotated[str, Url()] = _AUTHORITY
    allow_private: Annotated[bool, Flag()] = False
    fetch_key: object = field(default_factory=dict)
    register: object = None


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """What is to be registered, as it is written."""

    endpoint: Annotated[str, Url(query=True)]
    types: Annotated[list[Annotated[str, _TYPE]], Field(min_length=1, max_length=64)] = field(
        default_factory=lambda: ["*"]
    )
    every: Annotated[float, Duration("1s", "7d")] = 3600.0


def read_point(reading: Reading, path: Steps, source: SourceEntry | None, *, files: bool) -> PointConfig | None:
    """Give the section at a path, None when it has faults, now gathered.

    `source` says where and with which query its deliveries arrive, None when it has faults; with `files` a file
    that cannot be read is a fault.
    """
    entry = reading.part(PointEntry, path)
    _check_credential(reading, path)
    if entry and entry.url.endswith("/v1.0"):
        reading.fault((*path, "url"), "must be without /v1.0 at its end, which the relay puts there itself")
    why = unreadable(entry.token_file) if files and entry and entry.token_file else None
    if why:
        reading.fault((*path, "token_file"), f"cannot be read: {why}")
    written = reading.document.at(path)
    asked = written if isinstance(written, dict) else {}
    fetch_key = reading.part(FetchKey, (*path, "fetch_key")) if asked.get("fetch_key", {}) is not None else None
    register = _read_register(reading, (*path, "register"), source) if asked.get("register") is not None else None
    if entry is None:
        return None
    return PointConfig(
        entry.url,
        entry.tenant,
        entry.client_id,
        entry.scope,
        entry.client_secret,
        entry.token_file,
        entry.authority,
        entry.allow_private,
        fetch_key,
        register,
    )


def _check_credential(reading: Reading, path: Steps) -> None:
    """Gather a secret that stands in the file itself, and none or two ways to say who the relay is."""
    section = reading.document.at(path)
    if not isinstance(section, dict):
        return
    secret = section.get("client_secret")
    if secret is not None and section.get("token_file") is not None:
        reading.fault((*path, "token_file"), "is one way too many: give client_secret or token_file, not both")
    elif secret is None and section.get("token_file") is None:
        what = "is missing: give it as a reference, or the file of a federated token as token_file"
        reading.fault((*path, "client_secret"), what, absent=True)
    text = reading.document.place((*path, "client_secret")).text
    if isinstance(secret, str) and not isinstance(secret, Placeholder) and not is_bare(text or ""):
        what = 'must not stand in this file: put it into a file or a variable, and write "${file:PATH}" or "${VAR}"'
        reading.fault((*path, "client_secret"), what)


def _read_register(reading: Reading, path: Steps, source: SourceEntry | None) -> Register | None:
    """Give what is to be registered; its path has to lead to the source's, an ingress may take off what is before.

    Its query has to carry the secrets that the source asks for, else each delivery would get 401.
    """
    entry = reading.part(RegisterEntry, path)
    if entry is None:
        return None
    if source is not None and not isinstance(reading.document.at((*path, "endpoint")), Placeholder):
        asked = reading.document.at((*path[:-2], "query"))
        what = _unfit(entry.endpoint, source, asked if isinstance(asked, dict) else {})
        if what:
            reading.fault((*path, "endpoint"), what)
    return Register(entry.endpoint, tuple(dict.fromkeys(entry.types)), entry.every)


def _unfit(endpoint: str, source: SourceEntry, asked: Mapping[str, object]) -> str | None:
    """Say why deliveries to an endpoint would not be taken; `asked` is the source's query, as filled from the file."""
    posted = urlsplit(endpoint)
    if not posted.path.endswith(source.path):
        return (
            f"has the path {posted.path or '/'}, but the source's is {source.path}: deliveries would not arrive there"
        )
    given = parse_qs(posted.query, keep_blank_values=True)
    for name, secret in source.query.items():
        hint = f'the source\'s query asks for it: write "{shown(endpoint).removesuffix("?***")}?{name}=${{file:PATH}}"'
        if name not in given:
            return f"lacks ?{name}=, so each delivery would get 401; {hint}, with the PATH or variable of query.{name}"
        if not isinstance(asked.get(name), Placeholder) and given[name] != [secret.reveal()]:
            return (
                f"has another {name} than the source's query, or has it twice, so each delivery would get 401; {hint}"
            )
    return None
