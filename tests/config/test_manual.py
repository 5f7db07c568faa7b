"""The manual and the examples: complete, true, and usable as they are."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC
from pathlib import Path

import pytest
import yaml

from relay.config import Ack, DeadLetters, Dedupe, Kafka, Listen, Log, Rejected, Security, Spool, Stop, Topics, load
from relay.config.entry import AdminEntry, EnvelopeEntry, Outline, RouteEntry, SourceEntry
from relay.core.gate import Gate
from relay.core.model import Envelope, Signs
from tests.config.small import KEY

FOLDER = Path(__file__).parents[2] / "config"
MANUAL = FOLDER / "relay.yaml"


def test_manual_has_every_default() -> None:
    """What the manual shows for a key that may be left out is what the code takes when it is."""
    config = load(MANUAL, {"SYSKIT_POINT_KEY": KEY})
    assert config == dataclasses.replace(
        config,
        listen=Listen(),
        kafka=Kafka(bootstrap_servers=config.kafka.bootstrap_servers),
        envelope=Envelope(),
        ack=Ack(),
        stop=Stop(),
        log=Log(),
        dedupe=Dedupe(),
        spool=Spool(),
        dead_letters=DeadLetters(),
        rejected=Rejected(),
    )
    assert (config.admin.host, config.admin.port, config.admin.token) == ("127.0.0.1", 9090, None)
    (source,) = config.sources
    assert (source.uri, source.signs, source.time_zone) == ("urn:syskit-point:contoso", Signs.BODY, UTC)
    assert (source.gate, source.max_age) == (Gate(), None)


def test_manual_has_every_key() -> None:
    """Every key there is stands in the manual."""
    manual = yaml.safe_load(MANUAL.read_text())
    assert set(manual) == keys_of(Outline)
    sections = {"listen": Listen, "admin": AdminEntry, "kafka": Kafka, "envelope": EnvelopeEntry, "ack": Ack}
    sections |= {"stop": Stop, "log": Log, "dedupe": Dedupe, "spool": Spool, "dead_letters": DeadLetters}
    sections |= {"rejected": Rejected}
    for section, kind in sections.items():
        assert set(manual[section]) == keys_of(kind), section
    assert set(manual["kafka"]["security"]) == keys_of(Security)
    assert set(manual["kafka"]["topics"]) == keys_of(Topics)
    assert set(manual["sources"]["contoso"]) == keys_of(SourceEntry)
    assert {key for rule in manual["routes"] for key in rule} == keys_of(RouteEntry) - {"go_on"} | {"continue"}


def keys_of(kind: object) -> set[str]:
    """List the fields of a section."""
    assert isinstance(kind, type)
    assert dataclasses.is_dataclass(kind)
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("example", sorted((FOLDER / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_load(example: Path, tmp_path: Path) -> None:
    """Every example is complete: with its files and variables there it loads, and without them it is valid."""
    text = example.read_text()
    for number, name in enumerate(set(re.findall(r"/run/secrets/([\w.]+)", text))):
        (tmp_path / name).write_text(f"{KEY}-{number}\n")
    moved = tmp_path / example.name
    moved.write_text(text.replace("/run/secrets", str(tmp_path)))
    loaded = load(moved, {"KAFKA_SERVERS": "kafka-1:9092,kafka-2:9092"})
    looked_at = load(example, {}, secrets=False)
    assert loaded.routes == looked_at.routes
    assert KEY not in repr(loaded)
