"""`relay explain` and `relay deliveries`: what became of an event, and why, told by those two alone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from relay.core.errors import Reason
from relay.core.model import Status
from relay.core.signature import fingerprint
from relay.sandbox.ports import free_ports
from tests.cli.typed import relay
from tests.running import KEY, PATH, RELAY, Running, event, settings
from tests.spool.samples import NOW, append, entry, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
ROUTES = [
    {"name": "silence", "match": {"type": "Heartbeat"}, "drop": True},
    {"name": "named", "match": {"content.name": {"any": [{"prefix": "x-"}, "y"]}}, "topics": ["cli.x.{content.size}"]},
    {"name": "known", "match": {"type": "Provisioning*"}, "topics": ["cli.{type:kebab}"], "key": "k"},
    {"name": "last", "match": {"content.nothing": "*"}, "topics": ["cli.last"]},
]
BODY = event(event_id="one")
HOSTILE = b"\x1b[31m\xff\n{"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay without Kafka, with deliveries 1 pending, 2 conflicting, 3 dropped, 4 unroutable, 5 malformed."""
    folder = tmp_path_factory.mktemp("explain")
    port, admin_port = free_ports(2)
    listen, admin = {"host": "127.0.0.1", "port": port}, {"port": admin_port}
    configuration = settings(
        "127.0.0.1:9", folder, "", routes=ROUTES, listen=listen, admin=admin,
        ack={"after": "stored"}, stop={"timeout": "0s"},
    )  # fmt: skip
    with Running(folder, configuration) as process:
        for body in (BODY, event("Sales", event_id="one"), event(kind="Heartbeat", event_id="two")):
            process.post(body)
        for body in (event(kind="Unknown", event_id="three"), HOSTILE, BODY):
            process.post(body)
        yield process


def asked(running: Running, *arguments: str, data: bytes = b"", code: int = 0) -> dict[str, Any]:
    """Run a verb with --json, and give its one object."""
    done = relay(*arguments, "--json", "-c", str(running.config), data=data)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def told(running: Running, *arguments: str, data: bytes = b"", code: int = 0) -> str:
    """Run a verb, and give what it prints for people."""
    done = relay(*arguments, "-c", str(running.config), data=data)
    assert done.returncode == code, done.stderr
    return done.stdout


def changed(running: Running, folder: Path, **sections: object) -> str:
    """Write the configuration of the relay that runs with other sections; give its path."""
    file = folder / "changed.yaml"
    file.write_text(json.dumps(json.loads(running.config.read_text()) | sections))
    return str(file)


def test_a_file_is_explained_rule_by_rule(running: Running, tmp_path: Path) -> None:
    """Each rule with its verdict, expected and actual; then topic, key, headers and value as published."""
    file = tmp_path / "event.json"
    file.write_bytes(event(event_id="fresh"))
    found = asked(running, "explain", str(file))
    assert [rule["verdict"] for rule in found["rules"]] == ["not_matched", "not_matched", "matched", "not_looked_at"]
    assert found["rules"][0]["conditions"] == [
        {"path": "type", "expected": "Heartbeat", "held": False, "actual": "ProvisioningStarted"}
    ]
    (record,) = found["outcome"]["records"]
    assert (record["topic"], record["key"]) == ("cli.provisioning-started", "k")
    assert record["headers"] == [{"name": "content-type", "value": "application/cloudevents+json"}]
    assert json.loads(record["value"])["id"] == "fresh"
    assert found["repeat"] is None
    text = told(running, "explain", "-", data=file.read_bytes())
    for line in (
        "- silence: not matched",
        'FAILS  type: expected "Heartbeat", is "ProvisioningStarted"',
        'FAILS  content.name: expected {"any": [{"prefix": "x-"}, "y"]}, is "Marketing"',
        'fails  {"prefix": "x-"}',
        "+ known: matched",
        'gives  cli.provisioning-started, key "k"',
        ". last: not looked at",
        "outcome: 1 record, to cli.provisioning-started",
        "  record for cli.provisioning-started",
        "header content-type",
        "application/cloudevents+json",
        '"id":"fresh"',
        "if it came now: a new event",
    ):
        assert line in text


def test_what_a_topic_must_take_is_told_of_a_large_record(running: Running) -> None:
    """The rules do not know what Kafka takes: where that may be less, it is said. A name is in a record twice."""
    large = told(running, "explain", "-", data=event("x" * 460_000, event_id="fresh"))
    (line,) = (line for line in large.splitlines() if line.startswith("    size"))
    assert "bytes: dead, too_large, unless max.message.bytes of cli.provisioning-started is about 1," in line
    assert "too_large" not in told(running, "explain", "-", data=event("x" * 400_000, event_id="fresh"))


def test_the_headers_of_a_record_are_told(running: Running, tmp_path: Path) -> None:
    """In binary mode the attributes are headers, each on a line of its own, and the value is the data."""
    file = changed(running, tmp_path, envelope={"mode": "binary"})
    done = relay("explain", "-", "-c", file, data=event(event_id="fresh"))
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    assert ["header", "ce_id", "fresh"] in words
    assert ["header", "ce_specversion", "1.0"] in words
    assert ["key", "k"] in words


def test_a_pipe_is_read_as_a_file(running: Running, tmp_path: Path) -> None:
    """A named pipe, as a shell's `<(...)` gives, and /dev/stdin hold an event; a directory does not."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(event(event_id="piped"),), daemon=True)
    writer.start()
    assert asked(running, "explain", str(pipe))["id"] == "piped"
    writer.join()
    script = f"cat | {RELAY} explain /dev/stdin --json -c {shlex.quote(str(running.config))}"
    read = subprocess.run(["sh", "-c", script], input=event(event_id="in"), capture_output=True, check=True, timeout=30)
    assert json.loads(read.stdout)["id"] == "in"
    done = relay("explain", str(tmp_path), "-c", str(running.config))
    assert (done.returncode, "there is no delivery with id" in done.stderr) == (1, True)


def test_a_name_that_is_nothing_is_told_as_no_file_either(running: Running, tmp_path: Path) -> None:
    """A mistyped file is said to be neither delivery nor file, spool or not; digits are no file at all."""
    absent = changed(running, tmp_path, spool={"path": f"{tmp_path}/absent.db"})
    for config, code in ((str(running.config), 1), (absent, 70)):
        done = relay("explain", "evnt.json", "-c", config)
        assert (done.returncode, "nor is there a file of that name" in done.stderr) == (code, True)
    assert "file" not in relay("explain", "99", "-c", str(running.config)).stderr
    assert "file" not in relay("deliveries", "show", "evnt.json", "-c", str(running.config)).stderr


@pytest.mark.parametrize("length", [256, 5000])
def test_an_id_too_long_for_a_file_is_looked_up(running: Running, length: int) -> None:
    """What no file could be called may be the id of an event."""
    done = relay("explain", "x" * length, "-c", str(running.config))
    assert (done.returncode, "there is no delivery with id xxx" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("body", "reason", "code"),
    [
        (event(kind="Heartbeat"), None, 0),
        (event(kind="Unknown"), "unroutable", 1),
        (event("x-1"), "illegal_topic", 1),
        (b"nonsense", "malformed", 1),
        (b'{"type":"A","content":' + b"[" * 100 + b"]" * 100 + b',"meta":{"idempotencyKey":"x"}}', "malformed", 1),
    ],
)
def test_what_would_be_dead_is_exit_1(running: Running, body: bytes, reason: str | None, code: int) -> None:
    """Dropped is exit 0; dead is exit 1, with its reason and a sentence."""
    outcome = asked(running, "explain", "-", data=body, code=code)["outcome"]
    assert outcome.get("reason") == reason
    assert outcome["status"] == ("dead" if code else "dropped")
    assert (reason or "dropped by the rule silence") in told(running, "explain", "-", data=body, code=code)


def test_a_missing_value_is_told_as_missing(running: Running) -> None:
    """A path that the event does not have is said to be missing, and is no null."""
    body = event(kind="Unknown")
    condition = asked(running, "explain", "-", data=body, code=1)["rules"][3]["conditions"][0]
    assert condition == {"path": "content.nothing", "expected": "*", "held": False, "missing": True}
    assert 'content.nothing: expected "*", is missing' in told(running, "explain", "-", data=body, code=1)


@pytest.mark.parametrize(
    ("body", "repeat", "code"),
    [
        (BODY, ("duplicate", 1), 0),
        (event("Sales", event_id="one"), ("duplicate", 2), 0),
        (event("Third", event_id="one"), ("id_conflict", 1), 1),
        (event(kind="Unknown", event_id="three"), ("duplicate", 4), 1),
    ],
)
def test_a_file_is_compared_with_what_the_spool_remembers(
    running: Running, body: bytes, repeat: tuple[str, int], code: int
) -> None:
    """As the spool would take it: a duplicate of which delivery, or in conflict with which."""
    found = asked(running, "explain", "-", data=body, code=code)["repeat"]
    assert (found["as"], found["of"]) == repeat
    answer = running.post(body).fields if repeat[0] == "duplicate" else None
    assert answer is None or (answer["status"], answer["delivery"]) == repeat


def test_what_would_be_dead_and_new_is_told_as_a_dead_letter(running: Running) -> None:
    """What nobody has sent before and no subscriber will get is no new event."""
    assert "if it came now: a new dead letter\n" in told(running, "explain", "-", data=b"nonsense", code=1)


@pytest.mark.parametrize("kind", ["ProvisioningStarted", "Unknown"])
def test_rules_are_told_without_a_spool_that_can_be_read(running: Running, tmp_path: Path, kind: str) -> None:
    """A spool that is something else leaves the rules' outcome and exit code; only repeats are not known, and why."""
    other = tmp_path / "other.db"
    other.write_text("something else")
    file, body, code = changed(running, tmp_path, spool={"path": str(other)}), event(kind=kind), int(kind == "Unknown")
    done = relay("explain", "-", "-c", file, data=body)
    assert (done.returncode, done.stderr) == (code, "")
    assert "outcome: " in done.stdout
    assert f"if it came now: not known: {other} is not a relay's spool\n" in done.stdout
    done = relay("explain", "-", "--json", "-c", file, data=body)
    assert json.loads(done.stdout)["repeat"] == {"as": "not_known", "why": f"{other} is not a relay's spool"}


def test_what_would_be_rejected_is_told(running: Running, tmp_path: Path) -> None:
    """A body that is too large, or has no content to sign, never becomes a delivery: exit 1 and why."""
    listen = {"host": "127.0.0.1", "port": 0, "max_body": "1KiB"}
    done = relay("explain", "-", "-c", changed(running, tmp_path, listen=listen), data=b"x" * 1025)
    assert (done.returncode, "body_too_large" in done.stderr) == (1, True)
    sources = {"contoso": {"path": PATH, "keys": [KEY], "signs": "content"}}
    done = relay("explain", "-", "-c", changed(running, tmp_path, sources=sources), data=b"{}")
    assert (done.returncode, "ambiguous_content" in done.stderr) == (1, True)


def test_a_file_needs_its_source_when_there_are_several(running: Running, tmp_path: Path) -> None:
    """With several sources one must be named, which is a matter of usage; the key of it is not needed."""
    sources = {name: {"path": f"/{name}", "keys": ["${ABSENT}"]} for name in ("contoso", "fabrikam")}
    file = changed(running, tmp_path, sources=sources)
    done = relay("explain", "-", "--no-secrets", "-c", file, data=BODY)
    assert (done.returncode, "contoso, fabrikam" in done.stderr) == (2, True)
    done = relay("explain", "-", "--no-secrets", "--source", "fabrikam", "--json", "-c", file, data=BODY)
    assert (done.returncode, json.loads(done.stdout)["source"]) == (0, "fabrikam")
    assert relay("explain", "-", "--source", "fabrikam", "-c", file, data=BODY).returncode == 78


def test_a_stored_delivery_is_explained_with_what_happened(running: Running) -> None:
    """Pending: the lane it waits in, and what the running relay says of it; repeats are counted."""
    found = asked(running, "explain", "1")
    assert (found["delivery"], found["status"], found["waiting"]) == (1, "pending", ["cli.provisioning-started"])
    assert found["repeats"] >= 1
    assert found["today"]["outcome"]["records"][0]["topic"] == "cli.provisioning-started"
    (row,) = (row for row in found["relay"] if row["name"] == "lane cli.provisioning-started")
    assert (row["state"], "1 record (0.0 MiB) waits" in row["detail"]) == ("warn", True)
    text = told(running, "explain", "1")
    assert "by these rules it waits for its turn in the lane of cli.provisioning-started" in text
    assert found["answered"] == "stored"
    assert f"was told stored at {found['answered_at']}" in text
    assert "warn  lane cli.provisioning-started" in text


@pytest.mark.parametrize(
    ("named", "code", "status", "text"),
    [
        ("2", 1, "dead", "delivery 1 has the same id with another type or content"),
        ("two", 0, "dropped", "dropped by the rule silence"),
        ("three", 1, "dead", "unroutable: no rule matches"),
        ("5", 1, "dead", "malformed: not readable as JSON"),
    ],
)
def test_each_fate_is_explained(running: Running, named: str, code: int, status: str, text: str) -> None:
    """By number or by event id; dead is exit 1."""
    assert asked(running, "explain", named, code=code)["status"] == status
    assert text in told(running, "explain", named, code=code)


def test_a_conflict_is_noted(running: Running) -> None:
    """Whose id a conflicting delivery has is told beside what the rules would make of it; others have no such note."""
    assert asked(running, "explain", "2", code=1)["conflict_with"] == 1
    assert told(running, "explain", "2", code=1).endswith("\nnote: not published: its id is that of delivery 1\n")
    assert asked(running, "explain", "4", code=1)["conflict_with"] is None
    assert "not published" not in told(running, "explain", "4", code=1)


def test_a_source_that_is_named_must_be_that_of_the_delivery(running: Running, tmp_path: Path) -> None:
    """Beside a number too: one that is not configured is a matter of usage, a delivery of another one is a no."""
    sources = {name: {"path": f"/{name}", "keys": [KEY]} for name in ("contoso", "fabrikam")}
    file = changed(running, tmp_path, sources=sources)
    for verb in (["explain"], ["deliveries", "show"]):
        for named in ("3", "two"):
            assert relay(*verb, named, "--source", "contoso", "-c", file).returncode == 0
            assert relay(*verb, named, "--source", "fabrikam", "-c", file).returncode == 1
            done = relay(*verb, named, "--source", "nosuch", "-c", file)
            assert (done.returncode, "contoso, fabrikam" in done.stderr) == (2, True)
    assert "is of the source contoso" in relay("explain", "3", "--source", "fabrikam", "-c", file).stderr


def test_a_list_knows_its_sources(running: Running, tmp_path: Path) -> None:
    """Neither configured nor with deliveries is a matter of usage; what a former source left is listed."""
    assert relay("deliveries", "list", "--source", "nosuch", "-c", str(running.config)).returncode == 2
    file = changed(running, tmp_path, sources={"fabrikam": {"path": PATH, "keys": [KEY]}})
    done = relay("deliveries", "list", "--source", "contoso", "--json", "-c", file)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 5)
    done = relay("deliveries", "list", "--source", "fabrikam", "-c", file)
    assert (done.returncode, done.stderr) == (0, "no delivery is like that\n")


def test_what_lacks_a_key_is_told_what_does_without(running: Running, tmp_path: Path) -> None:
    """Where only secrets are missing the option that goes without is named, by the verbs that have it."""
    hint = "with --no-secrets nothing of this is needed"
    file = changed(running, tmp_path, sources={"contoso": {"path": PATH, "keys": ["${ABSENT}"]}})
    for verb in (["explain", "3"], ["deliveries", "show", "3"]):
        done = relay(*verb, "-c", file)
        assert (done.returncode, hint in done.stderr) == (78, True)
        assert relay(*verb, "--no-secrets", "-c", file).returncode == 0
    assert hint not in relay("send", "-", "-c", file).stderr
    worse = changed(
        running, tmp_path, log={"level": "loud"}, sources=json.loads((tmp_path / "changed.yaml").read_text())["sources"]
    )
    assert hint not in relay("explain", "3", "-c", worse).stderr


def test_rules_that_changed_are_told(running: Running, tmp_path: Path) -> None:
    """What today's rules would do otherwise than was done is a note, and a source that is gone is one too."""
    file = changed(running, tmp_path, routes=[{"name": "all", "topics": ["cli.new"]}])
    done = relay("explain", "two", "-c", file)
    note = "note: it was dropped by the rule silence; by today's rules it would be for cli.new"
    assert (done.returncode, note in done.stdout) == (0, True)
    done = relay("explain", "three", "--json", "-c", file)
    assert done.returncode == 1
    assert json.loads(done.stdout)["differs"] == "it was dead, unroutable; by today's rules it would be for cli.new"
    assert asked(running, "explain", "three", code=1)["differs"] is None
    file = changed(running, tmp_path, routes=[{"name": "hush", "match": {"type": "Heartbeat"}, "drop": True}])
    done = relay("explain", "two", "-c", file)
    assert "it was dropped by the rule silence; by today's rules it would be dropped by the rule hush" in done.stdout
    file = changed(running, tmp_path, sources={"other": {"path": PATH, "keys": [KEY]}})
    done = relay("explain", "two", "-c", file)
    assert "the source contoso is not configured" in done.stdout


def test_an_id_of_several_lists_them(running: Running) -> None:
    """An event id that is not unique is answered with all deliveries that have it, and exit 1."""
    for verb in (["explain"], ["deliveries", "show"]):
        done = relay(*verb, "one", "--json", "-c", str(running.config))
        assert done.returncode == 1
        assert [json.loads(line)["delivery"] for line in done.stdout.splitlines()] == [1, 2]
        assert "name one by its number" in done.stderr


def test_an_id_in_a_body_that_could_not_be_read_is_found(tmp_path: Path) -> None:
    """A malformed delivery stands under a hash of its body; who asks for the id that its sender knows is led to it."""
    file, body = tmp_path / "relay.yaml", b'{"type": "A", "content": NaN, "meta": {"idempotencyKey": "e-\xff3"}}'
    file.write_text(json.dumps(settings("127.0.0.1:9", tmp_path, "a")))
    with opened(tmp_path / "spool.db") as store:
        append(store, entry("{", status=Status.DROPPED))
        store.sweep(NOW + 1)
        for name, content in (("1", body), ("2", b"{"), ("3", event(event_id="other"))):
            append(store, replace(entry(name, body=content, status=Status.DEAD), reason=Reason.MALFORMED))
        append(store, entry("4", body=body))  # pending, and thus readable
    for verb in (["explain"], ["deliveries", "show"]):
        done = relay(*verb, "e-\udcff3", "--json", "-c", str(file))
        assert done.returncode == 1
        assert [json.loads(line)["delivery"] for line in done.stdout.splitlines()] == [2]
        assert "these could not be read, and it stands in their bodies" in done.stderr
    done = relay("deliveries", "list", "--id", "\udcff", "--type", "\udcff", "-c", str(file))
    assert (done.returncode, done.stderr) == (0, "no delivery is like that\n")
    assert relay("explain", "\udcff nowhere", "-c", str(file)).returncode == 1
    for named, said in (("{", "delivery 1 was accepted"), ("", "")):  # what was accepted comes first; no id is empty
        done = relay("explain", named, "-c", str(file))
        assert (done.returncode, done.stdout[:23]) == (1, said)


@pytest.mark.parametrize("named", ["99", "0", "nobody", "9" * 30])
def test_what_is_not_there_is_exit_1(running: Running, named: str) -> None:
    """Neither kept nor remembered: one sentence, and nothing on stdout."""
    for verb in (["explain"], ["deliveries", "show"]):
        done = relay(*verb, named, "-c", str(running.config))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        for hint in ("`relay rejected list`", "429 or 503, which has to be sent again"):
            assert (hint in done.stderr) is (named in {"nobody", "9" * 30})


def test_a_delivery_is_shown_and_verified_again(running: Running, tmp_path: Path) -> None:
    """By which key of today it verifies, under none, or not asked; body and signature only when asked for."""
    shown = asked(running, "deliveries", "show", "4")
    assert (shown["verified"], shown["verification"]) == (True, f"verified by key {fingerprint(KEY.encode())}")
    assert not {"body", "signature"} & shown.keys()
    full = asked(running, "deliveries", "show", "three", "--body", "--signature")
    assert full["body"].encode() == event(kind="Unknown", event_id="three")
    assert len(full["signature"]) == 44
    rotated = changed(running, tmp_path, sources={"contoso": {"path": PATH, "keys": [OTHER_KEY]}})
    done = relay("deliveries", "show", "4", "-c", rotated)
    assert (done.returncode, "verifies under no key of today" in done.stdout) == (0, True)
    assert "not checked: --no-secrets" in told(running, "deliveries", "show", "4", "--no-secrets")


def test_a_body_never_reaches_a_terminal_as_it_is(running: Running) -> None:
    """What a terminal would obey, and what is not UTF-8, is escaped; --raw alone gives the very bytes."""
    text = told(running, "deliveries", "show", "5", "--body")
    assert "\\x1b[31m\\xff\n{" in text
    assert "\x1b" not in text
    assert asked(running, "deliveries", "show", "5", "--body")["body_base64"]
    command = ["deliveries", "show", "5", "--raw", "-c", str(running.config)]
    assert subprocess.run([RELAY, *command], capture_output=True, check=True, timeout=30).stdout == HOSTILE
    assert relay(*command, "--body").returncode == 2


def test_deliveries_are_listed(running: Running) -> None:
    """Newest first, filtered, a page at a time; --json is one object a line; what is more is said on stderr."""
    config = str(running.config)
    done = relay("deliveries", "list", "-c", config)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["DELIVERY", "5", "4", "3", "2", "1"]
    assert (done.returncode, done.stderr) == (0, "")

    def listed(*options: str) -> list[int]:
        done = relay("deliveries", "list", "--json", *options, "-c", config)
        assert done.returncode == 0
        return [json.loads(line)["delivery"] for line in done.stdout.splitlines()]

    assert listed("--status", "dead") == [5, 4, 2]
    assert listed("--reason", "unroutable", "--source", "contoso") == [4]
    assert listed("--type", "Heartbeat") == listed("--id", "two") == [3]
    assert listed("--since", "1h", "--limit", "0", "--oldest-first") == [1, 2, 3, 4, 5]
    assert listed("--until", "2020-01-31T08:00:00Z") == []
    done = relay("deliveries", "list", "--limit", "2", "-c", config)
    assert "there are more: --before 4" in done.stderr
    assert listed("--limit", "2", "--before", "4") == [3, 2]
    done = relay("deliveries", "list", "--oldest-first", "--limit", "2", "-c", config)
    assert "there are more: --after 2" in done.stderr
    assert listed("--oldest-first", "--limit", "2", "--after", "2") == [3, 4]
    assert listed("--after", "4") == [5]
    assert relay("deliveries", "list", "--since", "yesterday", "-c", config).returncode == 2


def test_a_spool_that_cannot_be_read_is_a_sentence(running: Running, tmp_path: Path) -> None:
    """No spool is exit 70, and for `explain` of a file no matter at all; so is something else in its place."""
    absent = changed(running, tmp_path, spool={"path": f"{tmp_path}/absent.db"})
    for verb in (["deliveries", "list"], ["deliveries", "show", "1"], ["explain", "1"]):
        done = relay(*verb, "-c", absent)
        assert (done.returncode, done.stdout, "there is no spool at" in done.stderr) == (70, "", True)
    assert relay("explain", "-", "-c", absent, data=BODY).returncode == 0
    (tmp_path / "other.db").write_text("something else")
    done = relay("deliveries", "list", "-c", changed(running, tmp_path, spool={"path": f"{tmp_path}/other.db"}))
    assert (done.returncode, "is not a relay's spool" in done.stderr) == (70, True)
