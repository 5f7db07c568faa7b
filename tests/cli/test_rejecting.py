"""`relay rejected list`, and `relay verify` of what it lists."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.signature import sign
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.running import KEY, PATH, Running, event, request, settings, signed, until
from tests.wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-mine-16"
CODE = "5ecret5-5ecret5-5ecret5"
HUSH = "hush-hush-hush"
BODY = event(event_id="one")
DIGEST = base64.b64decode(sign(KEY.encode(), BODY))
CAUSES = {
    "the sender's key is the relay's in upper case": sign(KEY.upper().encode(), BODY),
    "the signature is in hexadecimal digits": DIGEST.hex(),
    "the header stands 2 times": f"{sign(KEY.encode(), BODY)}, {sign(KEY.encode(), BODY)}",
    "nothing that goes wrong in practice explains it": sign(b"a stranger's key", BODY),
}


def configuration(folder: Path, **sections: object) -> dict[str, object]:
    """Give one for a relay that only stores."""
    port, admin_port = free_ports(2)
    return settings(
        "127.0.0.1:9", folder, "t", listen={"host": "127.0.0.1", "port": port},
        ack={"after": "stored"}, stop={"timeout": "0s"}, **({"admin": {"port": admin_port}} | sections),
    )  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay that keeps the bodies of what it refuses."""
    folder = tmp_path_factory.mktemp("rejected")
    with Running(folder, configuration(folder, rejected={"keep_bodies": True})) as process:
        yield process


def page_of(running: Running, query: str = "", host: str = "127.0.0.1") -> Answer:
    """Ask the admin listener for its page, by a name of this machine."""
    with Wire(running.admin_port) as wire:
        return wire.ask(f"GET /rejected{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def listed(running: Running, *arguments: str) -> list[dict[str, Any]]:
    """List what was rejected, as JSON."""
    done = relay("rejected", "list", "--json", *arguments, "-c", str(running.config))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("cause", CAUSES)
def test_each_has_its_verdict_in_list_and_log(running: Running, cause: str) -> None:
    """The cause is in both, with the id; then `relay verify` explains it by that id, from the body that was kept."""
    headers = {"Signature": CAUSES[cause], "Authorization": HUSH, "Cookie": HUSH}
    assert running.post(BODY, headers=headers, target=f"{PATH}?code={HUSH}").status == 401
    until(lambda: [line for line in running.told("delivery.rejected") if cause in str(line.get("verdict"))])
    (line,) = [line for line in running.told("delivery.rejected") if cause in str(line.get("verdict"))]
    (one,) = [one for one in listed(running) if one["id"] == line["rejected"]]
    assert one["verdict"] == line["verdict"]
    assert (one["source"], one["path"], one["size"]) == ("contoso", f"{PATH}?***", len(BODY))
    assert one["client"] == "127.0.0.1"
    assert "body" not in one
    page = page_of(running, f"?id={one['id']}").body.decode()
    assert HUSH not in page + json.dumps(one) + running.text
    assert KEY not in page + json.dumps(one) + running.text
    done = relay("verify", str(one["id"]), "--explain", "-c", str(running.config))
    assert done.returncode == 1
    assert cause in done.stdout


def test_what_is_listed_can_be_printed(running: Running) -> None:
    """Nothing that a stranger writes is obeyed by a terminal, in columns or as JSON."""
    body = b"\x1b[2J\xff"
    headers = {"Signature": "\xe9" * 40, "User-Agent": "a\u0085\x9b2J"}
    assert running.post(body, headers=headers).status == 401
    until(lambda: running.told("delivery.rejected", reason="malformed_signature"))
    for arguments in (("--json",), ()):
        text = relay("rejected", "list", *arguments, "-c", str(running.config)).stdout
        assert all(character.isprintable() or character == "\n" for character in text)
    pages = [page_of(running, f"?id={one['id']}").body for one in listed(running)]
    (page,) = [page for page in pages if b"User-Agent" in page]
    assert page.isascii()
    assert b"\x1b" not in page


def test_no_source_has_a_list_of_its_own(running: Running) -> None:
    """What went to an unknown path is found under none."""
    assert running.post(BODY, target="/elsewhere").status == 404
    until(lambda: listed(running, "--source", "none"))
    (one,) = listed(running, "--source", "none")
    assert (one["path"], one["reason"], one["verdict"]) == ("/elsewhere", "unknown_path", None)
    assert "/elsewhere" in relay("rejected", "list", "-c", str(running.config)).stdout


@pytest.mark.parametrize(
    ("target", "headers", "reason", "verdict"),
    [
        ("/coded", signed(BODY), "bad_query", "its query: `code` is missing"),
        (f"/coded?code={HUSH}", signed(BODY), "bad_query", "its query: `code` has another value"),
        ("/coded?code=1&code=2", signed(BODY), "bad_query", "its query: `code` is there 2 times"),
        ("/near", signed(BODY), "foreign_network", "127.0.0.1 is in no network of near"),
        (
            "/near", {**signed(BODY), "X-Forwarded-For": "198.51.100.1"}, "foreign_network",
            "127.0.0.1 is in no network of near; it sent X-Forwarded-For, but is no trusted proxy",
        ),
        ("/nowhere", signed(BODY), "unknown_path", None),
        (PATH, {}, "missing_signature", "it has no Signature header"),
    ],
)  # fmt: skip
def test_what_is_refused_for_its_head_says_so(
    tmp_path: Path, target: str, headers: dict[str, str], reason: str, verdict: str | None
) -> None:
    """Its verdict names what was asked for, the log its client; `verify` does not speak of bodies that are not kept."""
    sources = {
        "contoso": {"path": PATH, "keys": [KEY]},
        "coded": {"path": "/coded", "keys": [KEY], "query": {"code": CODE}},
        "near": {"path": "/near", "keys": [KEY], "networks": ["198.51.100.0/24"]},
    }
    sections = {"rejected": {"keep_bodies": True}, "sources": sources}
    with Running(tmp_path, configuration(tmp_path, **sections)) as process:
        assert process.post(BODY, target=target, headers=headers).status in {401, 403, 404}
        until(lambda: process.told("delivery.rejected"))
        (line,) = process.told("delivery.rejected")
        (one,) = listed(process)
        done = relay("verify", str(one["id"]), "--explain", "-c", str(process.config))
    assert (line["reason"], line.get("verdict"), line["client"]) == (reason, verdict, "127.0.0.1")
    assert "detail" not in line
    assert one["verdict"] == verdict
    assert (done.returncode, done.stdout.startswith(f"refused: {reason}, when it came to ")) == (1, True)
    assert "refused before its body was looked at" in done.stdout
    assert (verdict or reason) in done.stdout
    assert not {CODE, HUSH} & set(done.stdout.split())


def test_a_flood_is_sampled_and_bounded(running: Running) -> None:
    """Of hundreds some are remembered, and never more than fifty; each of them is answered."""
    with running.wire() as wire:
        for _ in range(300):
            assert wire.ask(
                request(BODY, {"Signature": CAUSES["nothing that goes wrong in practice explains it"]})
            ).status in {
                401,
                429,
            }
    assert len(listed(running, "--source", "contoso")) <= 50
    assert len(running.told("delivery.rejected", reason="bad_signature")) < 300


def test_what_is_gone_or_was_never_there(running: Running) -> None:
    """An id of another life of the relay is not found."""
    done = relay("verify", "r0000-17", "-c", str(running.config))
    assert (done.returncode, "see relay rejected list" in done.stderr) == (1, True)
    assert page_of(running, "?id=nonsense").status == 404


def test_bodies_are_kept_only_when_asked_for_and_strangers_see_nothing(tmp_path: Path) -> None:
    """By default the verdict is all that is left; the page wants the token, and nothing is written to disk."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    sections = {"admin": {"port": free_ports(1)[0], "token_file": str(token)}}
    with Running(tmp_path, configuration(tmp_path, **sections)) as process:
        assert process.post(BODY, headers={**signed(BODY), "Signature": DIGEST.hex()}).status == 401
        until(lambda: process.told("delivery.rejected"))
        assert process.get("/rejected").status == 401
        with Wire(process.admin_port) as wire:
            wrong = f"GET /rejected HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {TOKEN}x\r\n\r\n"
            assert wire.ask(wrong.encode()).status == 401
        (one,) = listed(process)
        done = relay("verify", str(one["id"]), "-c", str(process.config))
        assert done.returncode == 1
        assert "the signature is in hexadecimal digits" in done.stdout
        assert "its body is not kept" in done.stdout
        kept = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file.name != "log"]
        assert not any(DIGEST.hex().encode() in content or b'"idempotencyKey": "one"' in content for content in kept)
    away = relay("rejected", "list", "-c", str(process.config))
    assert away.returncode == 70
    assert "remembered by the relay that runs" in away.stderr


def test_without_a_token_it_is_for_this_machine(running: Running) -> None:
    """A name that a browser was led to is refused."""
    assert page_of(running, host="evil.example").status == 403
    assert page_of(running, host=f"127.0.0.1:{running.admin_port}").status == 200
