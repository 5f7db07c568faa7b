"""What README.md and ARCHITECTURE.md say is compared with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from relay.cli import cli
from relay.core.errors import Reason, Refusal
from relay.core.model import Envelope
from relay.core.pipeline import process
from relay.core.routing import compile_route
from relay.server.answer import REFUSALS
from relay.server.door import FAILURES_A_SECOND, FAILURES_AT_ONCE
from tests.core.samples import SOURCE, deliver

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def _block(text: str, language: str, place: int = 0) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[place])


def _body(kind: str, content: dict[str, str]) -> bytes:
    meta = {"timeStamp": "2023-10-05T14:48:00", "idempotencyKey": "3f1d4c56-0b7e-4a43-9d35-0c7f0f3a2b11"}
    return json.dumps({"type": kind, "content": content, "meta": meta}).encode()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_documents_are_short(name: str) -> None:
    """A document that has to be read first has at most 150 lines."""
    assert len((ROOT / name).read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Every link to a file of the repository has its file."""
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_commands_exist() -> None:
    """Every `relay VERB` and `make TARGET` of the README can be typed."""
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"(?:^|`)relay ([a-z]+)", README, re.MULTILINE):
        assert verb in cli.commands, verb
    for target in re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile, target


def test_the_example_record_is_what_is_published() -> None:
    """The record that the README shows is the one the relay makes, member for member and in that order."""
    shown = json.loads(_block(README, "json"))
    delivery = deliver(_body("ProvisioningCompleted", shown["data"]))
    route = compile_route("by-type", {"topics": ["syskit.{type}"]})
    (record,) = process(delivery, SOURCE, [route], Envelope()).records
    assert list(json.loads(record.value).items()) == list(shown.items())
    assert record.key.decode() == shown["partitionkey"]


@pytest.mark.parametrize(
    ("kind", "name", "topics", "dropped_by"),
    [
        ("ProvisioningFailed", "test-1", ["ops.provisioning-failed"], None),
        ("ProvisioningCompleted", "test-1", [], "ignore-test-teams"),
        ("ProvisioningCompleted", "Marketing", ["syskit.provisioning-completed"], None),
        ("SomethingNew", "Marketing", ["syskit.something-new"], None),
    ],
)
def test_the_example_of_routing_does_what_is_said(
    kind: str, name: str, topics: list[str], dropped_by: str | None
) -> None:
    """The README's rules give what the sentence below them says."""
    rules = yaml.safe_load(_block(README, "yaml"))["routes"]
    routes = [compile_route(rule.pop("name"), rule) for rule in rules]
    delivery = deliver(_body(kind, {"type": "MicrosoftTeams", "name": name}))
    processed = process(delivery, SOURCE, routes, Envelope())
    assert [record.topic for record in processed.records] == topics
    assert processed.dropped_by == dropped_by


def test_reasons_named_exist() -> None:
    """A reason or metric that the README names is one of the closed lists."""
    for reason in ("id_conflict", "unroutable", "malformed"):
        assert reason in README
        assert Reason(reason)
    metrics = (ROOT / "docs/metrics.md").read_text()
    for metric in re.findall(r"`(relay_[a-z_]+)`", README + ARCHITECTURE):
        assert metric in metrics, metric


def test_the_map_names_what_is_there() -> None:
    """Every room and file that the map of ARCHITECTURE.md names exists, and no room is left out."""
    text = _block(ARCHITECTURE, "text")
    for room in (ROOT / "relay").iterdir():
        if room.name.startswith("__"):
            continue
        assert re.search(rf"\b{room.stem}\b", text), f"{room.name} is not on the map"
    for path in re.findall(r"`((?:relay|server|core|kafka|tests)/[a-z_/]+\.py)`", ARCHITECTURE):
        assert (ROOT / path).exists() or (ROOT / "relay" / path).exists(), path


def test_each_reason_says_what_to_do() -> None:
    """Every reason of a refusal and of a dead letter is explained, once, with the status that its sender gets."""
    text = (ROOT / "docs/reasons.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+)(?:, \d+)? \| .+ \|$", text, re.MULTILINE)
    statuses = {refusal.value: str(REFUSALS[refusal][0]) for refusal in Refusal} | dict.fromkeys(Reason, "202")
    assert sorted(rows) == sorted((str(reason), status) for reason, status in statuses.items())
    assert f"{FAILURES_AT_ONCE} failures at once, or then over {FAILURES_A_SECOND:g} a second" in text
