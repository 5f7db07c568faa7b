"""What can never be published, by the whole way: a dead letter of its own, and nothing to those behind it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.kafka.reader import read_topic
from tests.records import dead_letter
from tests.running import Running, settings, signed, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster

HALF = "\ud800"  # of a surrogate pair: JSON can write it, and UTF-8 cannot
POISONS: dict[str, tuple[str, dict[str, object]]] = {
    "a key that cannot be encoded": ("malformed", {"key": f"k{HALF}"}),
    "a topic that cannot be encoded": ("malformed", {"topic": HALF}),
    "a subject that cannot be encoded": ("malformed", {"name": HALF}),
    "a type that cannot be encoded": ("malformed", {"type": f"Provisioning{HALF}"}),
    "an id that cannot be encoded": ("malformed", {"id": HALF}),
    "a topic with a space": ("illegal_topic", {"topic": "a b"}),
    "a topic beyond ASCII": ("illegal_topic", {"topic": "č"}),
    "a topic that is too long": ("illegal_topic", {"topic": "t" * 250}),
    "a topic with a part missing": ("illegal_topic", {"topic": None}),
    "a record over the topic's limit": ("too_large", {"name": "n" * 3000}),
    "a key over the topic's limit": ("too_large", {"key": "k" * 3000}),
}


def body(event_id: str, **fields: object) -> bytes:
    """Give the body of a delivery to `poison.<mode>` under one key, but for the fields given."""
    values = {"id": event_id, "type": "ProvisioningStarted", "name": "Marketing", "key": "k", **fields}
    content = {name: values[name] for name in ("name", "key", "topic") if values[name] is not None}
    meta = {"idempotencyKey": values["id"], "timeStamp": "2023-10-05T14:48:00"}
    return json.dumps({"type": values["type"], "content": content, "meta": meta}).encode()


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_poison_is_dead_and_those_behind_it_are_published(kafka: Cluster, tmp_path: Path, mode: str) -> None:
    """What cannot be encoded, has no legal topic or is too large is kept with its reason; all others come, in order."""
    topic = f"poison.{mode}"
    kafka.create_topic(topic, config={"max.message.bytes": "2000"})
    sections = {
        "routes": [{"name": "all", "topics": ["poison.{content.topic}"], "key": "{content.key}"}],
        "envelope": {"mode": mode},
        "ack": {"timeout": "15s"},
    }
    with Running(tmp_path, settings(kafka.bootstrap_servers, tmp_path, "", **sections)) as relay:
        for number, (name, (reason, fields)) in enumerate(POISONS.items()):
            poison = body(f"poison-{number}", **{"topic": mode, **fields})
            answer = relay.post(poison)
            assert (answer.status, answer.fields["status"], answer.fields["reason"]) == (202, "dead", reason), name
            kept = ("dead", reason, poison, signed(poison)["Signature"])
            until(lambda kept=kept, number=answer.fields["delivery"]: dead_letter(tmp_path, number) == kept)  # type: ignore[misc]
            assert relay.post(body(f"good-{number}", topic=mode)).fields["status"] == "published", name
        assert relay.metric("relay_lane_recoveries_total") == 0
        assert relay.stop() == 0
    records = asyncio.run(read_topic(kafka.bootstrap_servers, topic))
    seen = [dict(each.headers).get("ce_id", b"").decode() or json.loads(each.value or b"")["id"] for each in records]
    assert seen == [f"good-{number}" for number in range(len(POISONS))]
