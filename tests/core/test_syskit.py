"""Reading Syskit Point's JSON: what is required, what is tolerated, what is dead."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import syskit
from relay.core.errors import Reason, Undeliverable
from tests.core.samples import CONTENT_SOURCE, SOURCE, deliver

if TYPE_CHECKING:
    from relay.core.model import Event

FRAME = b'{"type":"%b","content":%b,"meta":{"idempotencyKey":"%b","timeStamp":"%b"}}'


def framed(
    kind: bytes = b"A", content: bytes = b"{}", key: bytes = b"id-1", stamp: bytes = b"2023-10-05T14:48:00"
) -> bytes:
    """Write a delivery of which one part matters."""
    return FRAME % (kind, content, key, stamp)


def read(body: bytes) -> Event:
    """Parse a signed body."""
    return syskit.parse(deliver(body), SOURCE)


def death(body: bytes) -> Undeliverable:
    """Give the fate of a signed body that cannot be read."""
    with pytest.raises(Undeliverable) as caught:
        read(body)
    return caught.value


@pytest.mark.parametrize(
    ("stamp", "zone", "expected"),
    [
        ("2023-10-05T14:48:00", "UTC", "2023-10-05T14:48:00Z"),
        ("2023-10-05 14:48:00", "UTC", "2023-10-05T14:48:00Z"),
        ("2023-10-05t14:48:00z", "UTC", "2023-10-05T14:48:00Z"),
        ("2023-10-05T14:48:00.1", "UTC", "2023-10-05T14:48:00.1Z"),
        ("2023-10-05T14:48:00.1234567+02:00", "UTC", "2023-10-05T12:48:00.1234567Z"),
        ("2023-10-05T14:48:00.000", "America/New_York", "2023-10-05T18:48:00.000Z"),
        ("2023-01-05T14:48:00", "Europe/Zagreb", "2023-01-05T13:48:00Z"),
        ("2023-07-05T14:48:00", "Europe/Zagreb", "2023-07-05T12:48:00Z"),
        ("2023-07-05T14:48:00-00:30", "Europe/Zagreb", "2023-07-05T15:18:00Z"),
        ("0001-01-01T00:00:00", "UTC", "0001-01-01T00:00:00Z"),
        ("2024-02-29T00:30:00+01:00", "UTC", "2024-02-28T23:30:00Z"),
    ],
)
def test_time_is_put_into_utc(stamp: str, zone: str, expected: str) -> None:
    """An offset wins, else the source's zone with its summer time counts; the fraction stays as it was."""
    source = replace(SOURCE, time_zone=ZoneInfo(zone))
    assert syskit.parse(deliver(framed(stamp=stamp.encode())), source).time == expected


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "yesterday",
        "1696517280",
        "2023-10-05",
        "2023-10-05T14:48",
        "2023-10-05T14:48:00.",
        "2023-10-05T14:48:00 ",
        "20231005T144800",
        "2023-W40-4T14:48:00",
        "٢٠٢٣-10-05T14:48:00",
        "2023-13-05T14:48:00",
        "2023-02-29T14:48:00",
        "2023-10-05T25:48:00",
        "2023-10-05T14:48:60",
        "2023-10-05T14:48:00+25:00",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_an_unreadable_time_is_left_out(stamp: str) -> None:
    """What is not a date and time of the calendar gives no time, and the event lives."""
    assert read(framed(stamp=stamp.encode())).time is None


@pytest.mark.parametrize("meta", ['{"idempotencyKey":"a"}', '{"idempotencyKey":"a","timeStamp":1696517280}'])
def test_a_time_of_another_kind_is_left_out(meta: str) -> None:
    """A missing time stamp, or a number, gives no time."""
    assert read(b'{"type":"A","content":1,"meta":%b}' % meta.encode()).time is None


@pytest.mark.parametrize(
    ("raw", "data", "content"),
    [
        (b'{"a":1}', b'{"a":1}', {"a": 1}),
        (b'"{\\"a\\":1}"', b'{"a":1}', {"a": 1}),
        (b'"[1, 2]"', b"[1, 2]", [1, 2]),
        (b'"12"', b"12", 12),
        (b'"\\"{}\\""', b'"{}"', "{}"),
        (b'"plain"', b'"plain"', "plain"),
        (b'""', b'""', ""),
        (b'"{\\"a\\":NaN}"', b'"{\\"a\\":NaN}"', '{"a":NaN}'),
        (b'"\\ufeff{}"', b'"\\ufeff{}"', "\ufeff{}"),
        (b'"{} {}"', b'"{} {}"', "{} {}"),
        (b"null", b"null", None),
        (b"false", b"false", False),
        (b"[1.0, 1e2]", b"[1.0, 1e2]", [1.0, 100.0]),
        (b'"%b"' % (b"[" * 65 + b"]" * 65), b'"%b"' % (b"[" * 65 + b"]" * 65), "[" * 65 + "]" * 65),
    ],
)
def test_data_is_the_content_as_signed(raw: bytes, data: bytes, content: object) -> None:
    """Any JSON value is kept byte for byte; a string that holds JSON is unwrapped once, any other stays a string."""
    event = read(framed(content=raw))
    assert (event.data, event.content) == (data, content)


@pytest.mark.parametrize(
    ("content", "subject"),
    [
        (b'{"type":"M365Group","name":"a/b"}', "M365Group/a/b"),
        (b'{"type":"M365Group"}', "M365Group/"),
        (b'{"name":"a"}', "/a"),
        (b'{"name":"","type":""}', None),
        (b'{"name":1,"type":null}', None),
        (b"[]", None),
    ],
)
def test_the_subject_is_type_and_name(content: bytes, subject: str | None) -> None:
    """The subject is type and name, the missing one empty, and left out when there is neither."""
    assert read(framed(content=content)).subject == subject


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"correlationId":"a"}', "a"),
        (b'{"correlationId ":"b"}', "b"),
        (b'{"correlationId ":"b","correlationId":"a"}', "a"),
        (b'{"correlationId":"","correlationId ":"b"}', "b"),
        (b'{"correlationId":7}', None),
        (b'{"correlationid":"a"}', None),
        (b'"text"', None),
    ],
)
def test_the_correlation_id_has_two_spellings(content: bytes, expected: str | None) -> None:
    """It is found under either of the vendor's spellings, when it is a text that is not empty."""
    assert read(framed(content=content)).correlation_id == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf" + framed(),
        framed() + b"x",
        b"[%b]" % framed(),
        b'"text"',
        framed().decode().encode("utf-16"),
        framed(content=b"NaN"),
        framed(content=b"-Infinity"),
        framed(content=b"[1,]"),
        framed(content=b"9" * 5000),
        framed(content=b"1e400"),
        framed(content=b'{"a":"\xff"}'),
        b'{"other":"\xff",' + framed()[1:],
        framed(content=b'"\\ud800"'),
        framed(kind=b"\\ud800"),
        framed(key=b"\\udc00"),
        framed(stamp=b"\\ud800"),
        framed(content=b'{"name":"\\ud83d"}'),
        framed(content=b"[" * 64 + b"]" * 64),
        framed(content=b"[" * 100_000),
        framed(content=b'{"a":' * 100_000),
        b'{"deep":' + b"[" * 64 + b"]" * 64 + b"," + framed()[1:],
        framed().replace(b'"type"', b'"meta":{},"type"'),
        framed().replace(b'"timeStamp"', b'"x":1,"\\u0078":1,"timeStamp"'),
        framed(kind=b""),
        framed().replace(b'"A"', b"7"),
        framed().replace(b'"type":"A",', b""),
        framed().replace(b'"content":{},', b""),
        framed(key=b""),
        framed(key=b"k" * 1025),
        framed().replace(b'"id-1"', b"17"),
        b'{"type":"A","content":{}}',
        b'{"type":"A","content":{},"meta":null}',
        b'{"type":"A","content":{},"meta":["idempotencyKey"]}',
    ],
)
def test_what_cannot_be_read_is_dead_as_malformed(body: bytes) -> None:
    """Whatever is wrong with an authentic body, it is malformed, with an identity and a sentence that fits a line."""
    fate = death(body)
    assert fate.reason is Reason.MALFORMED
    assert 0 < len(fate.detail) < 200
    assert "\n" not in fate.detail
    assert fate.event_id
    assert fate.dedupe_id
    assert len(fate.fingerprint) == 16


@given(st.binary(max_size=80) | st.text(st.sampled_from('{}[]":,\\ue1aé\x00'), max_size=60).map(str.encode))
def test_any_bytes_are_an_event_or_malformed(body: bytes) -> None:
    """No content of any kind raises anything but Undeliverable, at the top or inside."""
    for text in (body, framed(content=body), framed(key=body), framed(stamp=body)):
        try:
            event = read(text)
        except Undeliverable as fate:
            assert fate.reason is Reason.MALFORMED  # noqa: PT017 - either outcome is right
        else:
            for field in (event.id, event.type, event.subject, event.time, event.correlation_id):
                (field or "").encode()
            json.loads(event.data)


def test_depth_is_bounded_at_the_same_place_every_time() -> None:
    """Sixty-four levels pass, one more is dead, however deep the caller's own stack is."""
    deepest = framed(content=b"[" * 63 + b"]" * 63)

    def called(depth: int) -> Event:
        return read(deepest) if depth == 0 else called(depth - 1)

    assert called(0) == called(500)


def test_an_id_that_can_be_read_identifies_the_dead() -> None:
    """A dead letter with a readable id has it; without one, or when the JSON is broken, it is the body's hash."""
    assert death(framed(kind=b"")).event_id == death(framed(kind=b"")).dedupe_id == "id-1"
    assert death(framed(content=b"1e400")).event_id == "id-1"
    for body in (framed(key=b""), framed(key=b"k" * 1025), framed() + b"x", framed().replace(b'"A"', b'"A","type":1')):
        fate = death(body)
        assert fate.event_id == fate.dedupe_id
        assert fate.event_id.startswith("sha256:")
    assert read(framed(key=b"k" * 1024)).id == "k" * 1024
    assert read(framed(key=b" id ")).id == " id "


def test_the_duplicate_id_is_what_the_signature_covers() -> None:
    """With signs: body it is the id; with signs: content the hash of the content, whatever stands around it."""
    one, other = framed(key=b"id-1", content=b"[1]"), framed(key=b"id-2", content=b"[1]")
    assert syskit.dedupe_id(deliver(one), SOURCE, "id-1") == "id-1"
    hashes = {syskit.dedupe_id(deliver(body, CONTENT_SOURCE), CONTENT_SOURCE, "id") for body in (one, other)}
    assert len(hashes) == 1
    assert hashes.pop().startswith("sha256:")


def test_a_source_that_changed_its_reading_still_has_duplicate_ids() -> None:
    """A delivery kept under signs: body has a duplicate id also when it holds no content to sign."""
    assert syskit.dedupe_id(deliver(b"{}"), CONTENT_SOURCE, None) == syskit.dedupe_id(deliver(b"{}"), SOURCE, None)


def test_a_fingerprint_is_of_type_and_data() -> None:
    """A repeat stamped anew has the same fingerprint; another type or content has another, wherever the border is."""

    def fingerprint(body: bytes) -> bytes:
        return syskit.fingerprint(SOURCE, read(body), "an id")

    first = fingerprint(framed())
    assert len(first) == 16
    assert first == fingerprint(framed(stamp=b"2024-01-01T00:00:00", key=b"other"))
    others = [framed(kind=b"B"), framed(content=b"{ }"), framed(kind=b"A", content=b"12"), framed(b"A1", b"2")]
    assert len({first, *(fingerprint(body) for body in others)}) == 5


def test_what_is_not_signed_makes_no_conflict() -> None:
    """Under signs: content whoever saw one delivery makes repeats of it, and one malformed one that shadows none."""
    bodies = [framed(kind=b"A"), framed(kind=b"B"), framed(kind=b""), b'{"type":5,' + framed()[1:]]
    prints = set()
    for body in bodies:
        delivery = deliver(body, CONTENT_SOURCE)
        try:
            event = syskit.parse(delivery, CONTENT_SOURCE)
        except Undeliverable as fate:
            prints.add((fate.dedupe_id, fate.fingerprint))
        else:
            repeat = syskit.dedupe_id(delivery, CONTENT_SOURCE, event.id)
            prints.add((repeat, syskit.fingerprint(CONTENT_SOURCE, event, repeat)))
    assert len(prints) == 2
    assert len({repeat for repeat, _ in prints}) == 2


def test_texts_hold_what_utf_8_can() -> None:
    """A pair of surrogates is one character, and a half of one never gets into an event."""
    assert read(framed(kind=b"\\ud83c\\udf62")).type == "🍢"
