"""Records read back from real Kafka, read by the official CloudEvents SDK."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, from_structured_event

from relay.core.model import Mode
from tests.kafka.reader import StoredRecord, read_topic
from tests.running import Running, settings, signed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.cluster import Cluster

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
META = '"meta": {"timeStamp": "2023-10-05T14:48:00.5", "idempotencyKey": "%s"}'
# Contents as they may be signed; the last is a string that holds JSON, which is unwrapped.
CONTENTS = {
    "documented": '{"name": "Marketing", "type": "MicrosoftTeams", "error": "e", "correlationId": "c-1"}',
    "spelt-with-a-space": '{"name": "Marketing", "type": "MicrosoftTeams", "correlationId ": "c-2"}',
    "laid-out": '{\r\n\t"type" : "M365Group",\r\n\t"name" : "\\u010d\\/\\ud83d\\ude00 \\"q\\"",\r\n\t"n" : 1.50e+3 }',
    "not-ascii": '{"name": "Šibenik 日本 €", "type": "YammerCommunity", "empty": {}, "list": [ null , true ]}',
    "no-object": "[1,  2]",
}
AS_TEXT = '{"name": "In a text", "type": "M365Group", "quoted": "\\"č\\""}'


@pytest.mark.parametrize("mode", Mode)
def test_what_kafka_holds_is_what_was_signed(kafka: Cluster, tmp_path: Path, mode: Mode) -> None:
    """In both modes the official SDK reads attributes and data, and the data is byte for byte as signed."""
    topic = f"sdk.{mode}"
    bodies = {
        name: f'{{ "content" : {content},"type":"ProvisioningFailed", {META % name}}}'
        for name, content in CONTENTS.items()
    }
    bodies["as-text"] = f'{{"type":"ProvisioningFailed","content":{json.dumps(AS_TEXT)},{META % "as-text"}}}'
    configuration = settings(kafka.bootstrap_servers, tmp_path, topic, envelope={"mode": mode})
    with Running(tmp_path, configuration) as relay:
        for body in bodies.values():
            headers = {**signed(body.encode()), "traceparent": TRACE}
            assert relay.post(body.encode(), headers=headers).fields["status"] == "published"
        assert relay.stop() == 0
    records = asyncio.run(read_topic(kafka.bootstrap_servers, topic))
    assert len(records) == len(bodies)
    for record in records:
        _check(record, mode, {**CONTENTS, "as-text": AS_TEXT})


def _check(record: StoredRecord, mode: Mode, contents: dict[str, str]) -> None:
    """Compare a record with what was signed."""
    assert record.key is not None
    assert record.value is not None
    headers = dict(record.headers)
    assert headers.pop("traceparent") == TRACE.encode()
    assert len(headers) == len(record.headers) - 1, "no header stands twice"
    message = KafkaMessage(headers=headers, key=record.key, value=record.value)
    seen = (from_structured_event if mode is Mode.STRUCTURED else from_binary_event)(message)
    signed_content = contents[seen.get_id()]
    content = json.loads(signed_content)
    named = content if isinstance(content, dict) else {}
    assert seen.get_specversion() == "1.0"
    assert seen.get_source() == "urn:syskit-point:contoso"
    assert seen.get_type() == "com.syskit.point.ProvisioningFailed"
    assert seen.get_subject() == (f"{named['type']}/{named['name']}" if named else None)
    assert seen.get_time() == datetime(2023, 10, 5, 14, 48, 0, 500_000, UTC)
    assert seen.get_datacontenttype() == "application/json"
    assert seen.get_data() == content
    assert seen.get_extension("partitionkey").encode() == record.key
    assert seen.get_extension("correlationid") == named.get("correlationId", named.get("correlationId "))
    if mode is Mode.STRUCTURED:
        assert headers == {"content-type": b"application/cloudevents+json"}
        assert record.value.endswith(b'"data":' + signed_content.encode() + b"}")
    else:
        assert headers["content-type"] == b"application/json"
        assert record.value == signed_content.encode()
