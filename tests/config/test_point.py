"""Syskit Point's API in a source: what is read of it, what does not fit, and what is never shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from relay.config import Config, Faulty, FetchKey, PointConfig, Register, Secret, load

if TYPE_CHECKING:
    from collections.abc import Mapping

MANUAL = Path(__file__).parents[2] / "config" / "relay.yaml"
CLIENT_ID = "5c1d9a6e-3f2b-4a77-9f0e-2b6f1f3f6c01"
SECRET = "hunter2-hunter2"
ENDPOINT = "https://relay.contoso.com/webhooks/contoso"
CODE = "hunter2-hunter2-hunter2"
ASKS: dict[str, object] = {"query": {"code": CODE}}
LEAST = {
    "url": "https://point.contoso.com",
    "tenant": "contoso.onmicrosoft.com",
    "client_id": CLIENT_ID,
    "client_secret": "${POINT_SECRET}",
    "scope": f"{CLIENT_ID}/.default",
}


def configuration(point: object, **source: object) -> str:
    """Write a configuration whose one source has an API and no keys, unless `source` says otherwise."""
    return yaml.safe_dump(
        {
            "version": 1,
            "sources": {"contoso": {"path": "/webhooks/contoso", "point": point, **source}},
            "kafka": {"bootstrap_servers": ["localhost:9092"]},
            "routes": [{"name": "all", "topics": ["syskit.all"]}],
        },
        width=1000,
    )


def read(file: Path, point: object, **source: object) -> Config:
    """Load such a configuration, with the secret in a variable."""
    file.write_text(configuration(point, **source))
    return load(file, {"POINT_SECRET": SECRET, "URL": "https://point.contoso.com"})


def without(*names: str) -> Mapping[str, object]:
    """Give the least there must be, less some of it."""
    return {name: value for name, value in LEAST.items() if name not in names}


def test_the_least_fetches_the_key(file: Path) -> None:
    """With nothing but how the API is reached the key is fetched, and nothing is registered."""
    config = read(file, LEAST)
    assert config.points == {
        "contoso": PointConfig(
            "https://point.contoso.com",
            "contoso.onmicrosoft.com",
            CLIENT_ID,
            f"{CLIENT_ID}/.default",
            Secret(SECRET),
            authority="https://login.microsoftonline.com",
            fetch_key=FetchKey(600.0, 86_400.0),
        )
    }
    assert config.sources[0].keys == ()
    assert read(file, LEAST, keys=[]).sources[0].keys == ()


def test_everything_else(file: Path) -> None:
    """Each key arrives where it is used; a slash at the end of a URL is no part of it."""
    token = file.parent / "token"
    token.write_text("an assertion")
    register = {"endpoint": f"{ENDPOINT}?code=hunter2", "types": ["A", "B", "A"], "every": "5m"}
    more: dict[str, object] = {
        "url": "${URL}/",
        "authority": "https://login.microsoftonline.us/",
        "allow_private": True,
        "token_file": str(token),
        "fetch_key": {"every": "30s"},
        "register": register,
    }
    (point,) = read(file, {**without("client_secret"), **more}).points.values()
    assert (point.url, point.authority) == ("https://point.contoso.com", "https://login.microsoftonline.us")
    assert (point.client_secret, point.token_file, point.allow_private) == (None, token, True)
    assert point.fetch_key == FetchKey(30.0, 86_400.0)
    assert point.register == Register(f"{ENDPOINT}?code=hunter2", ("A", "B"), 300.0)
    assert "hunter2" not in repr(point)


@pytest.mark.parametrize(
    ("point", "source", "fault"),
    [
        ({**LEAST, "client_secret": SECRET}, {}, 'client_secret: must not stand in this file: .* write "${file:PATH}"'),
        ({**LEAST, "client_secret": "${NONE:-hunter2}"}, {}, "client_secret: must not stand in this file"),
        ({**LEAST, "client_secret": "hunter2$$"}, {}, "client_secret: must not stand in this file"),
        ({**LEAST, "client_secret": "${file:/nowhere}"}, {}, "client_secret: takes the file /nowhere"),
        (without("client_secret"), {}, "client_secret: is missing: .* or the file of a federated token"),
        ({**LEAST, "token_file": "/dev/null"}, {}, "token_file: is one way too many"),
        ({**without("client_secret"), "token_file": "/nowhere"}, {}, "token_file: cannot be read"),
        ({**LEAST, "url": "http://point.contoso.com"}, {}, "url: must be an https:// URL"),
        ({**LEAST, "authority": "http://login"}, {}, "authority: must be an https:// URL"),
        ({**LEAST, "url": "https://me:hunter2@point"}, {}, "url: must be a URL without user"),
        ({**LEAST, "url": "https://point/?code=hunter2"}, {}, "url: must have no query"),
        ({**LEAST, "url": "https://point:hunter2"}, {}, "url: must be a URL"),
        ({**LEAST, "url": "point.contoso.com"}, {}, "url: must be a URL"),
        ({**LEAST, "url": "https://[::1"}, {}, "url: must be a URL"),
        ({**LEAST, "client_id": "relay"}, {}, "client_id: must be the application's id"),
        ({**LEAST, "scope": "api"}, {}, "scope: must end with /.default"),
        ({**LEAST, "tenant": "contoso/x"}, {}, "tenant: must be a tenant's id"),
        ({**LEAST, "fetch_key": {"every": "0s"}}, {}, "fetch_key.every: must be from 1s to 7d"),
        ({**LEAST, "fetch_key": None}, {}, "^keys: must have at least one entry, as point.fetch_key is null"),
        ({**LEAST, "fetch_key": None}, {"keys": []}, "^keys: must have at least one entry, as point.fetch_key is null"),
        ({**LEAST, "register": {}}, {}, "register.endpoint: is missing"),
        ({**LEAST, "register": {"endpoint": "https://r/x?code=hunter2"}}, {}, "endpoint: has the path /x, but"),
        ({**LEAST, "register": {"endpoint": "http://r/webhooks/contoso"}}, {}, "endpoint: must be an https:// URL"),
        ({**LEAST, "register": {"endpoint": ENDPOINT, "types": []}}, {}, "types: must have at least one entry"),
        ({**LEAST, "register": {"endpoint": ENDPOINT, "types": ["a b"]}}, {}, r"types\[0\]: must be \* or the name"),
        ({**LEAST, "secret": "hunter2"}, {}, "secret: is not a key that is known here"),
        ("contoso", {}, "^point: must be a mapping"),
        (None, {}, "^keys: is missing; .* write the section point"),
        ({**LEAST, "url": "https://point.contoso.com/v1.0/"}, {}, "url: must be without /v1.0"),
        (
            {**LEAST, "register": {"endpoint": ENDPOINT}},
            ASKS,
            r"endpoint: lacks \?code=, .*write .*\?code=${file:PATH}",
        ),
        ({**LEAST, "register": {"endpoint": f"{ENDPOINT}?code=another"}}, ASKS, "endpoint: has another code than"),
        (
            {**LEAST, "register": {"endpoint": f"{ENDPOINT}?code={CODE}&code=x"}},
            ASKS,
            "endpoint: has another code than",
        ),
    ],
)
def test_what_does_not_fit_is_told(file: Path, point: object, source: dict[str, object], fault: str) -> None:
    """Each slip is one fault with its place, and shows nothing that could be secret."""
    with pytest.raises(Faulty) as caught:
        read(file, point, **source)
    (told,) = caught.value.faults
    said = f"{told.path}: {told.what}".removeprefix("sources.contoso.")
    assert re.search(fault.replace("${", r"\$\{"), said.removeprefix("point.") if "^point" not in fault else said)
    assert "hunter2" not in caught.value.render(color=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_this_machine_may_be_asked_in_the_clear(file: Path, url: str) -> None:
    """Plain http is for loopback, where the simulated Syskit Point is."""
    register = {"endpoint": f"{url}/webhooks/contoso"}
    (point,) = read(file, {**LEAST, "url": url, "authority": url, "register": register}).points.values()
    assert point.url == point.authority == url


def test_the_endpoint_carries_what_the_query_asks_for(file: Path) -> None:
    """The same secret in both is right, and so is one that is not known, as in a review."""
    register = {"endpoint": f"{ENDPOINT}?x=&code=${{CODE}}"}
    file.write_text(configuration({**LEAST, "register": register}, query={"code": "${CODE}"}))
    (point,) = load(file, {"POINT_SECRET": SECRET, "CODE": CODE}).points.values()
    assert point.register
    assert point.register.endpoint.endswith(CODE)
    assert load(file, {}, secrets=False).points
    file.write_text(configuration({**LEAST, "register": {"endpoint": f"{ENDPOINT}?code=x"}}, query={"code": "${CODE}"}))
    assert load(file, {}, secrets=False).points


def test_two_sources_register_two_endpoints(file: Path) -> None:
    """One endpoint in two sources is a fault, also when its host is written otherwise."""
    written = yaml.safe_load(configuration({**LEAST, "register": {"endpoint": "https://relay/x/w"}}))
    first = {**written["sources"]["contoso"], "path": "/w"}
    other = {**first["point"], "register": {"endpoint": "https://RELAY:443/x/w"}}
    written["sources"] = {"contoso": first, "fabrikam": {"path": "/x/w", "point": other}}
    file.write_text(yaml.safe_dump(written))
    with pytest.raises(Faulty, match="is the endpoint of the source contoso too"):
        load(file, {"POINT_SECRET": SECRET})


def test_an_ingress_may_take_off_what_is_before_the_path(file: Path) -> None:
    """The endpoint's path ends with the source's."""
    endpoint = "https://contoso.com/relay/webhooks/contoso"
    (point,) = read(file, {**LEAST, "register": {"endpoint": endpoint}}).points.values()
    assert point.register
    assert point.register.endpoint == endpoint


def test_looking_at_a_file_needs_no_secret(file: Path) -> None:
    """Without the variables and files it is valid, as in a review."""
    register = {"endpoint": "${PUBLIC_URL}"}
    file.write_text(configuration({**LEAST, "client_secret": "${file:/nowhere}", "register": register}))
    assert load(file, {}, secrets=False).points["contoso"].register


def test_the_manual_shows_every_key(file: Path) -> None:
    """The example in the manual, without its signs of a comment, is read, with what the code takes by default."""
    text = MANUAL.read_text()
    block = re.search(r"^    #   url: .+?(?=^    point: null)", text, re.MULTILINE | re.DOTALL)
    assert block
    written = yaml.safe_load(re.sub(r"^    # ", "", block[0], flags=re.MULTILINE))
    assert set(written) == set(PointConfig.__dataclass_fields__)
    assert set(written["fetch_key"]) == set(FetchKey.__dataclass_fields__)
    assert set(written["register"]) == set(Register.__dataclass_fields__)
    (point,) = read(file, {**written, "client_secret": "${POINT_SECRET}"}).points.values()
    assert point.register
    needed = (point.url, point.tenant, point.client_id, point.scope, Secret(SECRET))
    assert point == PointConfig(*needed, register=Register(point.register.endpoint))
