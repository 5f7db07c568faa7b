"""`relay explain` of what died by its size, its age and its rule's topic: the stored reason, and today's rules."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.cli.typed import relay
from tests.kafka.admin import Admin
from tests.running import KEY, PATH, Running, event, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster

LIMIT = 4000  # bytes that the topic takes


@pytest.fixture(scope="module")
def running(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give a relay with deliveries 1 published, 2 too large for its topic, 3 stale, 4 without a legal topic."""
    folder, topic = tmp_path_factory.mktemp("dead"), f"dead.{uuid.uuid4()}"
    Admin(kafka.bootstrap_servers).create(topic, [[1]], {"max.message.bytes": str(LIMIT)})
    sources = {"contoso": {"path": PATH, "keys": [KEY]}, "strict": {"path": "/strict", "keys": [KEY], "max_age": "1h"}}
    routes = [
        {"name": "sized", "match": {"content.name": {"prefix": "sized-"}}, "topics": ["dead.{content.size}"]},
        {"name": "all", "topics": [topic]},
    ]
    configuration = settings(kafka.bootstrap_servers, folder, topic, sources=sources, routes=routes)
    with Running(folder, configuration) as process:
        assert process.post(event("first", event_id="first")).fields["status"] == "published"
        assert process.post(event("x" * LIMIT, event_id="large")).fields["reason"] == "too_large"
        assert process.post(event(event_id="stale"), target="/strict").fields["reason"] == "stale"
        assert process.post(event("sized-1", event_id="illegal")).fields["reason"] == "illegal_topic"
        yield process


@pytest.mark.parametrize(
    ("named", "reason", "detail", "today"),
    [
        ("large", "too_large", "takes 3600 bytes at most", "pending"),
        ("stale", "stale", "and max_age is 3600 s", "dead"),
        ("illegal", "illegal_topic", "rule 'sized': 'dead.{content.size}' gives no legal topic name", "dead"),
    ],
)
def test_what_died_is_explained(running: Running, named: str, reason: str, detail: str, today: str) -> None:
    """With the reason and the words that the spool keeps; what died at its topic has a record by today's rules."""
    done = relay("explain", named, "--json", "-c", str(running.config))
    found = json.loads(done.stdout)
    told = relay("explain", named, "-c", str(running.config))
    assert (done.returncode, told.returncode, found["status"]) == (1, 1, "dead")
    assert told.stdout.startswith(f"delivery {found['delivery']}: dead, {reason}: ")
    assert detail in told.stdout.partition("\n")[0]
    assert found["today"]["outcome"]["status"] == today
