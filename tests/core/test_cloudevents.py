"""The envelope, read back by the official SDK."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, from_structured_event
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from relay.core import cloudevents
from relay.core.model import Envelope, Event, Mode, Record
from tests.core.samples import SOURCE

if TYPE_CHECKING:
    from cloudevents.core.base import BaseCloudEvent

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENT = Event(
    id="id-1",
    source="contoso",
    type="ProvisioningStarted",
    subject="M365Group/č",
    time="2023-10-05T14:48:00.1Z",
    data=b'{ "name":"\\u010d", "type":"M365Group" }',
    content={"name": "č", "type": "M365Group"},
    correlation_id="c-1",
)
HEADERS = [
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_id", b"id-1"),
    ("ce_source", b"urn:syskit-point:contoso"),
    ("ce_type", b"com.syskit.point.ProvisioningStarted"),
    ("ce_subject", "M365Group/č".encode()),
    ("ce_time", b"2023-10-05T14:48:00.1Z"),
    ("ce_partitionkey", b"k"),
    ("ce_correlationid", b"c-1"),
]


def read(record: Record) -> BaseCloudEvent:
    """Read a record with the official SDK, by the mode its headers show."""
    message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    content_type = dict(record.headers)["content-type"]
    return (from_structured_event if content_type == b"application/cloudevents+json" else from_binary_event)(message)


def encode(event: Event, mode: Mode, key: str = "k", prefix: str = "com.syskit.point.") -> Record:
    """Encode without a trace."""
    return cloudevents.encode(event, SOURCE, Envelope(mode, prefix), "topic", key, None)


def test_structured_mode_is_the_binding_s() -> None:
    """The value is the whole envelope with the data byte for byte; no header of the event but content-type."""
    record = encode(EVENT, Mode.STRUCTURED)
    assert record.headers == (("content-type", b"application/cloudevents+json"),)
    assert record.value.endswith(b',"data":%b}' % EVENT.data)
    assert json.loads(record.value) == {
        "specversion": "1.0",
        "id": "id-1",
        "source": "urn:syskit-point:contoso",
        "type": "com.syskit.point.ProvisioningStarted",
        "subject": "M365Group/č",
        "time": "2023-10-05T14:48:00.1Z",
        "datacontenttype": "application/json",
        "partitionkey": "k",
        "correlationid": "c-1",
        "data": EVENT.content,
    }


def test_binary_mode_is_the_binding_s() -> None:
    """The value is the data byte for byte, each attribute a header in plain UTF-8."""
    record = encode(EVENT, Mode.BINARY)
    assert record.value == EVENT.data
    assert sorted(record.headers) == sorted(HEADERS)


def test_what_an_event_does_not_have_is_left_out() -> None:
    """Without subject, time and correlation id there is no attribute of that name, not an empty one."""
    bare = replace(EVENT, subject=None, time=None, correlation_id=None)
    absent = {"subject", "time", "correlationid"}
    assert not absent & set(json.loads(encode(bare, Mode.STRUCTURED).value))
    assert not {f"ce_{name}" for name in absent} & set(dict(encode(bare, Mode.BINARY).headers))


@given(texts=st.tuples(TEXT, TEXT, TEXT, TEXT), subject=st.none() | TEXT, content=CONTENT, mode=st.sampled_from(Mode))
def test_the_sdk_reads_what_was_written(
    texts: tuple[str, str, str, str], subject: str | None, content: object, mode: Mode
) -> None:
    """For any texts and content, in both modes, the official SDK reads the event that was written."""
    event_id, kind, key, correlation_id = texts
    event = Event(
        id=event_id,
        source="contoso",
        type=kind,
        subject=subject,
        time="2023-10-05T14:48:00.250Z",
        data=json.dumps(content).encode(),
        content=content,
        correlation_id=correlation_id,
    )
    seen = read(encode(event, mode, key, "p."))
    assert seen.get_specversion() == "1.0"
    assert seen.get_id() == event_id
    assert seen.get_source() == SOURCE.uri
    assert seen.get_type() == f"p.{kind}"
    assert seen.get_subject() == subject
    assert seen.get_time() == datetime(2023, 10, 5, 14, 48, 0, 250_000, UTC)
    assert seen.get_datacontenttype() == "application/json"
    assert seen.get_extension("partitionkey") == key
    assert seen.get_extension("correlationid") == correlation_id
    assert seen.get_data() == content
