"""`relay verify`: a request that somebody has kept is authentic, or the verb says why it is not."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.signature import sign
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.running import KEY, PATH, Running, event, settings, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
SOURCES = {"contoso": {"path": PATH, "keys": [KEY]}, "fabrikam": {"path": "/fabrikam", "keys": [OTHER_KEY]}}
BODY = event(event_id="one")
SIGNATURE = sign(KEY.encode(), BODY)
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay without Kafka that holds one delivery."""
    folder = tmp_path_factory.mktemp("verify")
    port, admin_port = free_ports(2)
    configuration = settings(
        "127.0.0.1:9", folder, "t", sources=SOURCES, listen={"host": "127.0.0.1", "port": port},
        admin={"port": admin_port}, ack={"after": "stored"}, stop={"timeout": "0s"},
    )  # fmt: skip
    with Running(folder, configuration) as process:
        process.post(BODY)
        yield process


def raw(body: bytes = BODY, path: str = PATH, end: str = "\r\n", *more: str, **headers: str) -> bytes:
    """Write a request as a proxy's log keeps it."""
    lines = [f"POST {path}?code=hush HTTP/1.1", "Host: relay", *more]
    lines += [f"{name}: {value}" for name, value in (headers or signed(body)).items()]
    return "".join(f"{line}{end}" for line in lines).encode() + end.encode() + body


def verified(running: Running, data: bytes, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Verify what is given on standard input; give what is printed as JSON."""
    done = relay("verify", "-", "--json", *arguments, "-c", str(running.config), data=data)
    assert done.returncode == code, done.stderr
    assert not {KEY, OTHER_KEY, "hush"} & set(done.stdout.split('"'))
    fields: dict[str, Any] = json.loads(done.stdout)
    return fields


@pytest.mark.parametrize("data", [
    raw(),
    raw(end="\n"),
    raw().replace(b"HTTP/1.1", b"HTTP/2", 1),  # as browsers and curl write it down
    raw().replace(b"HTTP/1.1", b"HTTP/2.0", 1),
    raw().replace(b"HTTP/1.1", b"HTTP/3", 1),
    raw() + b"\n",  # an editor ends a file so; Content-Length knows better
    raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), PATH, "\r\n", CHUNKED, Signature=SIGNATURE),
    raw(BODY, PATH, "\r\n", CHUNKED, Signature=SIGNATURE),  # joined when it was kept
])  # fmt: skip
def test_a_raw_request_is_authentic(running: Running, data: bytes) -> None:
    """As it was on the wire, or as tools keep it."""
    if b"chunked" not in data:
        data = data.replace(b"Host: relay", b"Host: relay\r\nContent-Length: %d" % len(BODY), 1)
    fields = verified(running, data)
    assert (fields["authentic"], fields["source"]) == (True, "contoso")


@pytest.mark.parametrize("encoding", [None, "base64"])
@pytest.mark.parametrize("nested", [0, 1, 2])
def test_a_har_entry_is_authentic(running: Running, encoding: str | None, nested: int) -> None:
    """A file, an entry of it, or the entry's request."""
    text = base64.b64encode(BODY).decode() if encoding else BODY.decode()
    headers = [{"name": name, "value": value} for name, value in signed(BODY).items()]
    content = {"text": text} | ({"encoding": encoding} if encoding else {})
    har: dict[str, Any] = {
        "method": "POST",
        "url": f"https://r{PATH}?code=hush",
        "headers": headers,
        "postData": content,
    }
    if nested:
        har = {"request": har, "response": {}}
    if nested > 1:
        har = {"log": {"version": "1.2", "entries": [{"request": {"url": "x"} | har["request"]}, har]}}
    assert verified(running, json.dumps(har).encode())["authentic"]


def test_a_stored_delivery_is_verified_by_number_and_id(running: Running) -> None:
    """The spool keeps body and signature; under today's keys of its source they fit, under others they do not."""
    for named in ("1", "one"):
        done = relay("verify", named, "-c", str(running.config))
        assert (done.returncode, done.stdout.startswith("authentic: signed with key")) == (0, True)
    missing = relay("verify", "nothing-like-it", "-c", str(running.config))
    assert missing.returncode == 1
    assert "nor is there a file of that name" in missing.stderr


def test_why_it_is_not_authentic(running: Running, tmp_path: Path) -> None:
    """The reason at once, the likely cause when asked for it; the exit says no."""
    forged = raw(Signature=sign(OTHER_KEY.encode(), BODY))
    assert verified(running, forged, code=1) == {
        "authentic": False, "source": "contoso", "reason": "bad_signature", "fits": None, "verdict": None,
    }  # fmt: skip
    fits = verified(running, forged, "--explain", code=1)["fits"]
    assert fits["source"] == "fabrikam"
    assert [mistake["what"] for mistake in fits["mistakes"]] == ["it is signed with a key of the source fabrikam"]
    file = tmp_path / "request.txt"
    file.write_bytes(raw(Signature=sign(KEY.upper().encode(), BODY)))
    done = relay("verify", str(file), "--explain", "-c", str(running.config))
    assert done.returncode == 1
    assert "not authentic: bad_signature" in done.stdout
    assert (
        "  - the sender's key is the relay's in upper case\n    mend: set the key as the sender has it\n" in done.stdout
    )
    file.write_bytes(raw(Signature=sign(b"a stranger's", BODY)))
    assert (
        "nothing that goes wrong in practice explains it"
        in relay("verify", str(file), "--explain", "-c", str(running.config)).stdout
    )


def test_what_is_too_large_for_the_doctor_is_no_forgery(running: Running) -> None:
    """The forms of a large body are not tried, and it says so, to people and to programs."""
    body = b'{"n":"%s"}' % (b"x" * 300_000)
    data = raw(body, Signature=sign(KEY.encode(), body + b"\n"))
    said = "256 KiB is too large to be tried in other forms"
    text = relay("verify", "-", "--explain", "-c", str(running.config), data=data).stdout
    assert said in text
    assert "forgery" not in text
    assert said in verified(running, data, "--explain", code=1)["verdict"]


def test_another_encoder_is_told_by_its_name(running: Running, tmp_path: Path) -> None:
    """What the sender signed and what came are one JSON value; both who could have changed it are named."""
    body = json.dumps(json.loads(event("R&D")), separators=(",", ":")).encode()
    file = tmp_path / "request.txt"
    file.write_bytes(raw(body, Signature=sign(KEY.encode(), body.replace(b"&", rb"\u0026"))))
    done = relay("verify", str(file), "--explain", "-c", str(running.config))
    assert done.returncode == 1
    assert "  - what came is not what was signed: it was JSON without white space, escaped as" in done.stdout
    assert "    mend: have the sender sign the bytes that it sends, and let them pass unchanged through" in done.stdout


def test_the_source_is_found_by_the_path_or_named(running: Running) -> None:
    """The path decides, unless a source is named; where neither does, the sources are told."""
    data = raw(path="/fabrikam", Signature=sign(OTHER_KEY.encode(), BODY))
    assert verified(running, data)["source"] == "fabrikam"
    assert verified(running, data, "--source", "contoso", code=1)["source"] == "contoso"
    done = relay("verify", "-", "-c", str(running.config), data=raw(path="/elsewhere"))
    assert done.returncode == 2
    assert "contoso, fabrikam" in done.stderr


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"POST / HTTP/1.1\r\n", b"\xff\x00", b'{"log":{"entries":[]}}', b"[" * 10_000]
)
def test_what_is_no_request(running: Running, data: bytes) -> None:
    """A usage error that says what was looked for, never a traceback."""
    done = relay("verify", "-", "-c", str(running.config), data=data)
    assert done.returncode == 2
    assert "neither a raw HTTP request" in done.stderr


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "its query: `code` is missing"),
        ("?code=hush", "its query: `code` has another value"),
        ("?a=b&code=5ecret5%2D5ecret5-5ecret5", None),
    ],
)
def test_what_is_authentic_may_be_refused_for_its_query(tmp_path: Path, query: str, why: str | None) -> None:
    """The relay would answer 401: exit 1, and what is wrong; the secret is not shown, and networks are not judged."""
    gated = {"path": PATH, "keys": [KEY], "query": {"code": "5ecret5-5ecret5-5ecret5"}, "networks": ["198.51.100.0/24"]}
    file = tmp_path / "relay.yaml"
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "t", sources={"contoso": gated})))
    data = raw().replace(b"?code=hush", query.encode())
    done = relay("verify", "-", "-c", str(file), data=data)
    assert done.returncode == (1 if why else 0), done.stderr
    assert done.stdout.startswith(f"authentic, but refused: bad_query, {why}: " if why else "authentic: signed with")
    assert "not judged" in done.stdout
    assert not {"5ecret5", "hush"} & set(done.stdout.replace("-", " ").split())
    told = json.loads(relay("verify", "-", "--json", "-c", str(file), data=data).stdout)
    assert (told["authentic"], told.get("refused"), told.get("why")) == (True, "bad_query" if why else None, why)
