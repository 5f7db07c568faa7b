"""The command line, run as an operator runs it: what it prints, where, and what it exits with."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from relay import __version__
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.running import KEY, PATH, RELAY, Running, event, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTES = [
    {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
    {"name": "known", "match": {"type": "Provisioning*"}, "topics": ["cli.{type}"], "continue": True},
    {"name": "failed", "match": {"type": "ProvisioningFailed"}, "topics": ["cli.failed", "cli.ops"]},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay without Kafka: what is posted to it is stored."""
    folder = tmp_path_factory.mktemp("cli")
    ports = free_ports(2)
    configuration = settings(
        "127.0.0.1:9",
        folder,
        "",
        routes=ROUTES,
        listen={"host": "127.0.0.1", "port": ports[0]},
        admin={"port": ports[1]},
        ack={"after": "stored"},
        stop={"timeout": "0s"},
    )
    with Running(folder, configuration) as process:
        yield process


def test_validate_prints_what_it_read(running: Running) -> None:
    """Exit 0, and on stdout ok, the sources and the routes; nothing on stderr, no key anywhere."""
    done = relay("validate", "-c", str(running.config))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"ok: {running.config}",
        f"source contoso: POST {PATH} -> urn:syskit-point:contoso",
        "route silence: dropped",
        "route known: cli.{type} (continue)",
        "route failed: cli.failed, cli.ops",
    ]


def test_validate_prints_json(running: Running) -> None:
    """`--json` gives the same as one object, for programs."""
    done = relay("validate", "-c", str(running.config), "--json")
    listed = json.loads(done.stdout)
    assert (done.returncode, listed["ok"]) == (0, True)
    assert listed["sources"] == [{
        "name": "contoso", "path": PATH, "uri": "urn:syskit-point:contoso",
        "keys": 1, "networks": [], "query": [], "point": None,
    }]  # fmt: skip
    assert [route["name"] for route in listed["routes"]] == ["silence", "known", "failed"]
    assert [route["drop"] for route in listed["routes"]] == [True, False, False]
    assert [route["continue"] for route in listed["routes"]] == [False, True, False]
    assert KEY not in done.stdout


def test_validate_tells_what_is_asked_and_no_secret(tmp_path: Path) -> None:
    """Networks, the names of the URL's secrets, and what is fetched and registered at Syskit Point."""
    secret = tmp_path / "secret"
    secret.write_text("hush-hush-hush-hush")
    client = "8f8fad5b-d9cb-469f-a165-70867728950e"
    point = {
        "url": "https://point.contoso.com", "tenant": "contoso.onmicrosoft.com", "scope": "api://point/.default",
        "client_id": client, "client_secret": f"${{file:{secret}}}",
        "register": {"endpoint": f"https://r.contoso.com{PATH}?code=hush-hush-hush-hush"},
    }  # fmt: skip
    source = {
        "path": PATH, "point": point, "networks": ["192.0.2.0/24"], "query": {"code": f"${{file:{secret}}}"},
    }  # fmt: skip
    file = tmp_path / "relay.yaml"
    file.write_text(json.dumps(settings("kafka:9092", tmp_path, "cli", sources={"contoso": source})))
    done = relay("validate", "-c", str(file))
    assert done.stdout.splitlines()[2:-1] == [
        "  only from 192.0.2.0/24",
        "  only with the secrets code in the URL",
        f"  Syskit Point's API: https://point.contoso.com, as {client} of contoso.onmicrosoft.com",
        "  its key is fetched every 600 s, and the one before stays good for 86400 s",
        f"  registers https://r.contoso.com{PATH}?*** for *, looked at every 3600 s",
    ]
    listed = relay("validate", "-c", str(file), "--json")
    (told,) = json.loads(listed.stdout)["sources"]
    assert (told["networks"], told["query"], told["keys"]) == (["192.0.2.0/24"], ["code"], 0)
    assert told["point"]["register"] == {
        "endpoint": f"https://r.contoso.com{PATH}?***", "types": ["*"], "every": 3600.0,
    }  # fmt: skip
    assert told["point"]["fetch_key"] == {"every": 600.0, "overlap": 86400.0}
    assert "hush" not in done.stdout + done.stderr + listed.stdout + listed.stderr


def test_validate_can_do_without_secrets(tmp_path: Path) -> None:
    """`--no-secrets` checks a file where its secrets are not; without it the missing one is a fault."""
    file = tmp_path / "relay.yaml"
    sources = {"contoso": {"path": PATH, "keys": ["${file:/nowhere/key}"]}}
    file.write_text(json.dumps(settings("kafka:9092", tmp_path, "cli", sources=sources)))
    assert relay("validate", "-c", str(file), "--no-secrets").returncode == 0
    done = relay("validate", "-c", str(file))
    assert done.returncode == 78
    assert "/nowhere/key" in done.stderr


@pytest.mark.parametrize("verb", ["validate", "run", "healthcheck"])
def test_a_faulty_configuration_is_told_in_full(tmp_path: Path, verb: str) -> None:
    """Exit 78 by every verb, all faults at once on stderr with file, line and column, and stdout left empty."""
    file = tmp_path / "relay.yaml"
    file.write_text("version: 1\nlisten: {prot: 1}\nspool: {max_size: lots}\n")
    done = relay(verb, "-c", str(file))
    assert (done.returncode, done.stdout) == (78, "")
    assert f"{file}:2:10: listen.prot:" in done.stderr
    assert f"{file}:3:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_a_missing_configuration_is_one_sentence(tmp_path: Path) -> None:
    """Exit 78 with the name of the file that is not there."""
    done = relay("run", "-c", str(tmp_path / "absent.yaml"))
    assert done.returncode == 78
    assert "absent.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_configuration_may_be_named_by_the_environment(running: Running) -> None:
    """Without `-c` it is $RELAY_CONFIG."""
    assert relay("validate", RELAY_CONFIG=str(running.config)).returncode == 0


def test_run_tells_that_its_port_is_taken(running: Running, tmp_path: Path) -> None:
    """Exit 70 with a sentence, not a traceback, when another process listens there."""
    file = tmp_path / "relay.yaml"
    listen = {"host": "127.0.0.1", "port": running.port}
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "cli", listen=listen)))
    done = relay("run", "-c", str(file))
    failed = [line for line in map(json.loads, done.stderr.splitlines()) if line["event"] == "relay.failed"]
    assert done.returncode == 70
    assert [str(running.port) in line["error"] and "in use" in line["error"] for line in failed] == [True]
    assert "Traceback" not in done.stderr


def test_run_tells_that_its_spool_is_taken(running: Running, tmp_path: Path) -> None:
    """Exit 70 with a sentence when another relay holds the spool; that one goes on."""
    file = tmp_path / "relay.yaml"
    file.write_text(json.dumps(settings("127.0.0.1:9", running.config.parent, "cli")))
    done = relay("run", "-c", str(file))
    assert done.returncode == 70
    assert "in use by another relay" in done.stderr
    assert "Traceback" not in done.stderr
    assert running.get("/readyz").status == 200


def test_send_prints_the_receipt(running: Running, tmp_path: Path) -> None:
    """A file is signed and posted as it is; the receipt is on stdout and the exit 0."""
    file = tmp_path / "event.json"
    file.write_bytes(event(event_id="sent-1"))
    done = relay("send", str(file), "--source", "contoso", "-c", str(running.config))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "stored"
    done = relay("send", "-", "--source", "contoso", "-c", str(running.config), data=file.read_bytes())
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "duplicate")


def test_send_says_no_for_a_dead_letter(running: Running) -> None:
    """Accepted and dead is not what the sender wanted: the receipt, the verb that says why, and exit 1."""
    done = relay("send", "-", "-c", str(running.config), data=b"not JSON")
    receipt = json.loads(done.stdout)
    assert (done.returncode, receipt["reason"]) == (1, "malformed")
    assert done.stderr.endswith(f"malformed; see: relay explain {receipt['delivery']}\n")


def test_send_shows_an_answer_safely(running: Running) -> None:
    """What answers at the URL may be anybody, and a terminal is not to obey it."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(30)

        def babble() -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x1b[2J")

        threading.Thread(target=babble, daemon=True).start()
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}/"
        done = relay("send", "-", "--url", url, "-c", str(running.config), data=event())
    assert done.stdout == "\\x1b[2J\n"


def test_send_needs_its_source_when_there_are_several(tmp_path: Path) -> None:
    """The only source need not be named; of several none is taken."""
    file = tmp_path / "relay.yaml"
    sources = {name: {"path": f"/{name}", "keys": [KEY]} for name in ("contoso", "fabrikam")}
    file.write_text(json.dumps(settings("kafka:9092", tmp_path, "cli", sources=sources)))
    done = relay("send", "-", "-c", str(file), data=event())
    assert (done.returncode, "contoso, fabrikam" in done.stderr) == (2, True)


@pytest.mark.parametrize("path", ["/elsewhere?code=5ecret5", "/"])
def test_send_says_no_for_a_refusal(running: Running, path: str) -> None:
    """An answer that is not 2xx is exit 1, and a query is never repeated."""
    url = f"http://127.0.0.1:{running.port}{path}"
    done = relay("send", "-", "--source", "contoso", "--url", url, "-c", str(running.config), data=event())
    assert done.returncode == 1
    assert "404" in done.stderr
    assert "5ecret5" not in done.stdout + done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/?code=5ecret5", "ftp://x/?code=5ecret5", "nonsense?code=5ecret5"])
def test_send_tells_what_is_wrong_with_a_url(running: Running, url: str) -> None:
    """Nobody there, or no URL at all: one sentence without the query, exit 1."""
    done = relay("send", "-", "--source", "contoso", "--url", url, "-c", str(running.config), data=event())
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "5ecret5" not in done.stderr


def test_send_knows_its_sources(running: Running) -> None:
    """A source that is not configured is a fault of usage, and those that are get named."""
    done = relay("send", "-", "--source", "fabrikam", "-c", str(running.config), data=event())
    assert done.returncode == 2
    assert "contoso" in done.stderr


def test_healthcheck_asks_the_one_that_runs(running: Running, tmp_path: Path) -> None:
    """Exit 0 and the rows while it is ready, 1 when nobody answers."""
    done = relay("healthcheck", "-c", str(running.config))
    assert done.returncode == 0
    assert "[+] spool: " in done.stdout
    file = tmp_path / "relay.yaml"
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "cli", admin={"port": free_ports(1)[0]})))
    done = relay("healthcheck", "-c", str(file))
    assert done.returncode == 1
    assert "no answer" in done.stdout
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "cli")))
    done = relay("healthcheck", "-c", str(file))
    assert (done.returncode, "admin.port is 0, any free one" in done.stdout) == (1, True)


def test_healthcheck_needs_no_secrets(running: Running, tmp_path: Path) -> None:
    """Only where the relay listens is asked: neither a key nor the admin listener's token has to be there."""
    file = tmp_path / "relay.yaml"
    listed = json.loads(running.config.read_text())
    listed["sources"]["contoso"]["keys"] = ["${ABSENT}"]
    listed["admin"] |= {"port": running.admin_port, "token_file": f"{tmp_path}/absent"}
    file.write_text(json.dumps(listed))
    done = relay("healthcheck", "-c", str(file))
    assert (done.returncode, "[+] spool: " in done.stdout) == (0, True)
    assert relay("validate", "-c", str(file)).returncode == 78


def test_the_version_is_quick() -> None:
    """`relay --version` needs neither the HTTP server nor the configuration's model."""
    code = "import sys, relay.cli\ntry: relay.cli.cli(['--version'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True, text=True)
    version, modules = done.stdout.splitlines()
    assert version == f"relay, version {__version__}"
    assert not {"aiohttp", "pydantic", "aiokafka", "apsw", "structlog"} & set(modules.split())


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--frobnicate"], ["send"], []])
def test_usage_is_told(arguments: list[str]) -> None:
    """What cannot be understood is exit 2, told on stderr."""
    done = relay(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: relay" in done.stderr


def test_help_names_every_verb() -> None:
    """`relay --help` is exit 0 and has a line for each verb."""
    done = relay("--help")
    assert done.returncode == 0
    for verb in ("run", "validate", "send", "explain", "deliveries", "healthcheck", "demo"):
        assert f"\n  {verb} " in done.stdout


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    """Faults are coloured on a terminal, and not with NO_COLOR."""
    file = tmp_path / "relay.yaml"
    file.write_text("version: 2\n")
    assert "\x1b[" in on_terminal("validate", "-c", str(file))
    assert "\x1b[" not in on_terminal("validate", "-c", str(file), NO_COLOR="1")


def on_terminal(*arguments: str, **environ: str) -> str:
    """Run a verb with a terminal as its stderr, and give what it wrote there."""
    ours, theirs = os.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [RELAY, *arguments], stdout=subprocess.DEVNULL, stderr=theirs, env=clean | environ
    ) as process:
        process.wait(30)
    os.close(theirs)
    try:
        return os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
