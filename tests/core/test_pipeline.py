"""The whole core: golden pairs, and the laws that hold for every delivery."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import pipeline, signature
from relay.core.errors import Reason, Undeliverable
from relay.core.model import Envelope, Mode, Record, Signs, Source
from tests.core.samples import ROUTES, SECRET, SOURCE, deliver

Case: TypeAlias = dict[str, object]

DELIVERIES = Path(__file__).parent.parent / "deliveries"
CASES = [pytest.param(json.loads(path.read_text("utf-8")), id=path.stem) for path in sorted(DELIVERIES.glob("*.json"))]
MODES = st.sampled_from([Envelope(Mode.STRUCTURED), Envelope(Mode.BINARY, "")])
CONTENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "type", "correlationId"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)


def settings(case: Case) -> tuple[Source, Envelope]:
    """Give the source and the envelope that a golden pair is for."""
    given_settings = case.get("settings", {})
    assert isinstance(given_settings, dict)
    source = replace(
        SOURCE,
        signs=Signs(given_settings.get("signs", "body")),
        time_zone=ZoneInfo(given_settings.get("time_zone", "UTC")),
    )
    return source, Envelope(Mode(given_settings.get("mode", "structured")))


def outcome(case: Case) -> Case:
    """Authenticate and process a golden pair's request, and write down what came of it as the pair does."""
    source, envelope = settings(case)
    request = case["request"]
    assert isinstance(request, dict)
    delivery = signature.authenticate(
        source, [request["signature"]], request["body"].encode(), algorithms=[], received_at=0.0, traceparent=None
    )
    try:
        done = pipeline.process(delivery, source, ROUTES, envelope)
    except Undeliverable as fate:
        return {
            "dead": {
                "reason": fate.reason,
                "detail": fate.detail,
                "event_id": fate.event_id,
                "dedupe_id": fate.dedupe_id,
                "type": fate.event_type,
            }
        }
    return {
        "dedupe_id": done.dedupe_id,
        "routes": list(done.routes),
        "records": [
            {
                "topic": record.topic,
                "key": record.key.decode(),
                "headers": {name: value.decode() for name, value in record.headers},
                "value": record.value.decode(),
            }
            for record in done.records
        ],
    }


@pytest.mark.parametrize("case", CASES)
def test_a_signed_request_gives_the_expected_records(case: Case) -> None:
    """Each golden pair: the signed request in, the expected records or dead letter out."""
    expected = {key: value for key, value in case.items() if key not in {"rule", "settings", "request"}}
    assert outcome(case) == expected


@pytest.mark.parametrize("case", CASES)
def test_a_golden_pair_says_its_rule(case: Case) -> None:
    """Each golden pair states, in a sentence, the rule it proves."""
    assert str(case["rule"]).endswith(".")


@given(content=CONTENTS, kind=st.text(), key=st.text(), envelope=MODES, wrapped=st.booleans())
def test_every_delivery_has_one_outcome(
    content: object, kind: str, key: str, envelope: Envelope, wrapped: bool
) -> None:
    """Whatever an authentic delivery holds it gives records, or is dropped, or is dead; nothing else is raised."""
    meta = {"idempotencyKey": key}
    inside = json.dumps(content) if wrapped else content
    delivery = deliver(json.dumps({"type": kind, "content": inside, "meta": meta}).encode())
    try:
        done = pipeline.process(delivery, SOURCE, ROUTES, envelope)
    except Undeliverable as fate:
        assert fate.reason in {Reason.MALFORMED, Reason.ILLEGAL_TOPIC}  # noqa: PT017 - either outcome is right
        return
    assert bool(done.records) is (done.dropped_by is None)
    for record in done.records:
        assert published(record, envelope) == done.event.content
        rebuilt = pipeline.encode_for(delivery, SOURCE, envelope, record.topic, record.key)
        assert rebuilt == record


def published(record: Record, envelope: Envelope) -> object:
    """Read a record's data with the standard library's parser."""
    value = json.loads(record.value)
    return value if envelope.mode is Mode.BINARY else value["data"]


def test_what_no_rule_matches_is_unroutable() -> None:
    """Without a matching rule an event is dead with its identity, never lost."""
    body = b'{"type":"A","content":{},"meta":{"idempotencyKey":"id-1"}}'
    with pytest.raises(Undeliverable) as caught:
        pipeline.process(deliver(body), SOURCE, ROUTES[:2], Envelope())
    fate = caught.value
    assert (fate.reason, fate.event_id, fate.dedupe_id, fate.event_type) == (Reason.UNROUTABLE, "id-1", "id-1", "A")
    assert fate.fingerprint == pipeline.process(deliver(body), SOURCE, ROUTES, Envelope()).fingerprint


def test_a_record_is_rebuilt_with_the_key_it_was_journalled_with() -> None:
    """`encode_for` takes topic and key as they were, whatever the rules say by now."""
    body = b'{"type":"A","content":{"name":"n"},"meta":{"idempotencyKey":"id-1"}}'
    record = pipeline.encode_for(deliver(body), SOURCE, Envelope(), "gone", b"k\xc4\x8d")
    assert (record.topic, record.key) == ("gone", "kč".encode())
    assert json.loads(record.value)["partitionkey"] == "kč"
    with pytest.raises(Undeliverable):
        pipeline.encode_for(deliver(b"{}"), SOURCE, Envelope(), "gone", b"k")


def test_the_traceparent_travels_as_a_header() -> None:
    """The trace of a request goes on in every record, in both modes, outside the envelope."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = b'{"type":"A","content":{},"meta":{"idempotencyKey":"id-1"}}'
    delivery = signature.authenticate(
        SOURCE, [signature.sign(SECRET, body)], body, algorithms=[], received_at=0.0, traceparent=trace
    )
    for mode in Mode:
        (record,) = pipeline.process(delivery, SOURCE, ROUTES, Envelope(mode)).records
        assert ("traceparent", trace.encode()) in record.headers
        assert trace.encode() not in record.value


def test_the_pipeline_s_index_gives_what_its_rules_do() -> None:
    """A pipeline, which indexes its rules, gives the same as they do when they are gone through one by one."""
    for kind in (b"A", b"ProvisioningFailed", b"Heartbeat"):
        delivery = deliver(b'{"type":"%b","content":{},"meta":{"idempotencyKey":"id-1"}}' % kind)
        indexed = pipeline.Pipeline({SOURCE.name: SOURCE}, ROUTES, Envelope()).process(delivery)
        assert indexed == pipeline.process(delivery, SOURCE, ROUTES, Envelope())


def test_what_travels_is_frozen_and_hides_what_was_sent() -> None:
    """Nobody changes a value that another part holds as well, and a delivery shows neither body nor signature."""
    delivery = deliver(b'{"type":"A","content":{},"meta":{"idempotencyKey":"id-1"}}')
    done = pipeline.process(delivery, SOURCE, ROUTES, Envelope())
    for value, field in ((delivery, "body"), (done, "records"), (done.event, "id"), (done.records[0], "topic")):
        with pytest.raises(AttributeError):
            setattr(value, field, None)
        assert not hasattr(value, "__dict__")
    assert "contoso" in repr(delivery)
    assert "content" not in repr(delivery)
    assert delivery.signature not in repr(delivery)
