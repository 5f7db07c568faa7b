"""Replays and mirrors, as records: what of a delivery they repeat, and how they are told from the first one."""

from __future__ import annotations

import base64
import json

import pytest
from msgspec.structs import replace

from relay.core.errors import Undeliverable
from relay.core.model import Envelope, Mirror, Mode, Replay
from relay.core.pipeline import Pipeline
from relay.core.routing import compile_route
from tests.core.samples import ROUTES, SOURCE, deliver

BODY = b'{"type":"T","content":{"name":"n","type":"MicrosoftTeams"},"meta":{"idempotencyKey":"one"}}'
MIRROR = Mirror(17, "dead", "unroutable", "no rule matches")
MODES = pytest.mark.parametrize("mode", Mode)


def pipeline(mode: Mode = Mode.STRUCTURED, rule: dict[str, object] | None = None) -> Pipeline:
    """Give a pipeline of one rule, or those of the samples."""
    routes = ROUTES if rule is None else [compile_route("rule", rule)]
    return Pipeline({SOURCE.name: SOURCE}, routes, Envelope(mode))


@MODES
def test_a_replay_has_one_header_more(mode: Mode) -> None:
    """A replay by the rules gives the records of the first, each with the number of what it repeats."""
    first, again = pipeline(mode).process(deliver(BODY)), pipeline(mode).copy(deliver(BODY), Replay(17))
    (one,), (other,) = first.records, again.records
    assert other == replace(one, headers=(*one.headers, ("relay-replay", b"17")))
    assert again == replace(first, records=again.records)
    assert pipeline(mode).copy(deliver(BODY), None) == first


def test_a_topic_that_is_given_needs_no_rule() -> None:
    """The key is the one the rules give for that topic, else the default; what is dropped or unroutable goes too."""
    keyed: dict[str, object] = {"topics": ["keyed", "other"], "key": "{content.name}"}
    (record,) = pipeline(rule=keyed).copy(deliver(BODY), Replay(17, "keyed")).records
    assert (record.topic, record.key) == ("keyed", b"n")
    for match in ({"type": "Another"}, {}):
        dropping = pipeline(rule={"match": match, "drop": True})
        (record,) = dropping.copy(deliver(BODY), Replay(17, "given")).records
        assert (record.topic, record.key) == ("given", b"contoso/MicrosoftTeams/n")
        assert record.headers[-1] == ("relay-replay", b"17")
    with pytest.raises(Undeliverable):
        pipeline().copy(deliver(b"["), Replay(17, "given"))


@pytest.mark.parametrize("copy", [None, Replay(17), Replay(17, "given"), MIRROR])
@pytest.mark.parametrize("body", [BODY, b"\xff"])
@MODES
def test_what_is_journalled_is_encoded_alike(mode: Mode, body: bytes, copy: Replay | Mirror | None) -> None:
    """A flight's records are built anew from topic and key, with the headers that they had."""
    if body != BODY and copy is not MIRROR:
        return  # it never had a record
    (record,) = pipeline(mode).copy(deliver(body), copy).records
    assert pipeline(mode).encode_for(deliver(body), record.topic, record.key, copy) == record


def test_a_mirror_says_why_it_is_dead() -> None:
    """It is the event as it would have been published, with the reason, the sentence and the number beside it."""
    (record,) = pipeline().copy(deliver(BODY), MIRROR).records
    assert (record.topic, record.key) == ("dead", b"contoso/MicrosoftTeams/n")
    assert record.headers == (("content-type", b"application/cloudevents+json"),)
    assert json.loads(record.value) == {
        "specversion": "1.0", "id": "one", "source": SOURCE.uri, "type": "com.syskit.point.T",
        "subject": "MicrosoftTeams/n", "partitionkey": "contoso/MicrosoftTeams/n",
        "deadreason": "unroutable", "deaddetail": "no rule matches", "deaddelivery": "17",
        "datacontenttype": "application/json", "data": {"name": "n", "type": "MicrosoftTeams"},
    }  # fmt: skip


def test_a_mirror_of_what_cannot_be_read_has_the_body() -> None:
    """Its data are the bytes that were signed, whatever they are."""
    (record,) = pipeline().copy(deliver(b"\xff\x00{"), MIRROR).records
    envelope = json.loads(record.value)
    assert base64.b64decode(envelope["data_base64"]) == b"\xff\x00{"
    assert (envelope["type"], envelope["datacontenttype"]) == (
        "com.syskit.point.Unreadable", "application/octet-stream"
    )  # fmt: skip
    assert envelope["id"].startswith("sha256:")
    assert "data" not in envelope


@pytest.mark.parametrize(("body", "data"), [(BODY, b'{"name":"n","type":"MicrosoftTeams"}'), (b"\xff", b"\xff")])
def test_a_binary_mirror_has_attributes_as_headers(body: bytes, data: bytes) -> None:
    """In binary mode the value is the data alone."""
    (record,) = pipeline(Mode.BINARY).copy(deliver(body), MIRROR).records
    headers = dict(record.headers)
    assert record.value == data
    assert headers["ce_deadreason"] == b"unroutable"
    assert headers["ce_deaddelivery"] == b"17"
    assert headers["content-type"] == (b"application/json" if body == BODY else b"application/octet-stream")
    assert all(name.startswith("ce_") or name == "content-type" for name in headers)
