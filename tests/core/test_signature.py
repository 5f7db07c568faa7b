"""Authentication: what passes, what is refused, and why."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import signature
from relay.core.errors import Refusal, Rejected
from relay.core.model import Delivery, Key, Signs, Source
from tests.core.samples import CONTENT_SOURCE, OTHER_SECRET, SECRET, SOURCE, deliver

BODY = b'{"type":"ProvisioningStarted"}'
SIGNED = "X1NhfbgkqaB+xUEqwqJdbkjsi6fQkkxVvQaWCbw1gsQ="
ROTATING = replace(SOURCE, keys=(Key("old", OTHER_SECRET), Key("new", SECRET)))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def authenticate(
    signatures: list[str],
    body: bytes = BODY,
    source: Source = SOURCE,
    algorithms: tuple[str, ...] = (),
    traceparent: str | None = None,
) -> Delivery:
    """Authenticate with what a test does not care about filled in."""
    return signature.authenticate(
        source, signatures, body, algorithms=algorithms, received_at=12.5, traceparent=traceparent
    )


def refusal(signatures: list[str], body: bytes = BODY, source: Source = SOURCE) -> Refusal:
    """Give the reason for which a request is refused."""
    with pytest.raises(Rejected) as caught:
        authenticate(signatures, body, source)
    return caught.value.refusal


def test_the_published_vector_verifies() -> None:
    """The signature that OpenSSL computed for the documented key and body is the one we compute and accept."""
    assert signature.sign(SECRET, BODY) == SIGNED
    assert authenticate([SIGNED]) == Delivery(
        source="contoso",
        body=BODY,
        signature=SIGNED,
        key_id=signature.fingerprint(SECRET),
        received_at=12.5,
        traceparent=None,
    )


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ([], Refusal.MISSING_SIGNATURE),
        ([SIGNED, SIGNED], Refusal.REPEATED_SIGNATURE),
        ([""], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-1]], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-1] + "A"], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-2] + "R="], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED.replace("+", "-")], Refusal.MALFORMED_SIGNATURE),
        ([" " + SIGNED[:-1]], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED + "\n"], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-2] + "Q\n"], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-1] + "\udcff"], Refusal.MALFORMED_SIGNATURE),
        ([SIGNED[:-1] + "\uff1d"], Refusal.MALFORMED_SIGNATURE),
        ([signature.sign(OTHER_SECRET, BODY)], Refusal.BAD_SIGNATURE),
        ([signature.sign(SECRET, BODY + b" ")], Refusal.BAD_SIGNATURE),
    ],
)
def test_each_fault_has_its_reason(signatures: list[str], expected: Refusal) -> None:
    """A missing, repeated, misspelt or wrong signature is refused, each for its own reason."""
    assert refusal(signatures) is expected


@given(body=st.binary(min_size=1, max_size=60), data=st.data())
def test_a_changed_byte_is_never_accepted(body: bytes, data: st.DataObject) -> None:
    """What was signed verifies; change any one byte of it, or any character of the signature, and it does not."""
    signed = signature.sign(SECRET, body)
    assert authenticate([signed], body).body == body
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytes([body[at] ^ data.draw(st.integers(1, 255))])
    assert refusal([signed], body[:at] + changed + body[at + 1 :]) is Refusal.BAD_SIGNATURE
    at = data.draw(st.integers(0, len(signed) - 1))
    character = data.draw(st.characters().filter(lambda new: new != signed[at]))
    assert refusal([signed[:at] + character + signed[at + 1 :]], body) in {
        Refusal.BAD_SIGNATURE,
        Refusal.MALFORMED_SIGNATURE,
    }


@given(digest=st.binary(max_size=40))
def test_no_other_digest_is_accepted(digest: bytes) -> None:
    """A signature of any other bytes or length is refused."""
    assert refusal([base64.b64encode(digest).decode()]) in {Refusal.BAD_SIGNATURE, Refusal.MALFORMED_SIGNATURE}


def test_the_shape_is_refused_before_the_body_is_read() -> None:
    """What cannot be a signature is refused without a body, for the same reason; what may be one is not."""
    signature.check_shape([signature.sign(OTHER_SECRET, BODY)])
    for signatures in ([], [SIGNED, SIGNED], [SIGNED[:-1]]):
        with pytest.raises(Rejected) as caught:
            signature.check_shape(signatures)
        assert caught.value.refusal is refusal(signatures)


def test_every_key_of_the_ring_is_accepted_and_named() -> None:
    """While keys rotate each of them verifies, wherever it stands, and the delivery names the one that did."""
    assert authenticate([signature.sign(SECRET, BODY)], source=ROTATING).key_id == "new"
    assert authenticate([signature.sign(OTHER_SECRET, BODY)], source=ROTATING).key_id == "old"
    assert refusal([SIGNED], source=replace(SOURCE, keys=())) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("place", [None, 0, -1])
def test_each_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, place: int | None) -> None:
    """Whether it fits, or is wrong in its first byte or in its last: every key is tried, by `hmac.compare_digest`."""
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    digest = bytearray(hmac.digest(OTHER_SECRET, BODY, "sha256"))
    if place is not None:
        digest[place] ^= 1
    given = base64.b64encode(digest).decode()
    if place is None:
        assert authenticate([given], source=ROTATING).key_id == "old"
    else:
        assert refusal([given], source=ROTATING) is Refusal.BAD_SIGNATURE
    assert compared == [(hmac.digest(key.secret, BODY, "sha256"), bytes(digest)) for key in ROTATING.keys]


@pytest.mark.parametrize("algorithms", [(), ("HMACSHA256",), ("none",), ("HMACSHA512", "\udcff")])
def test_the_algorithm_header_is_never_obeyed(algorithms: tuple[str, ...]) -> None:
    """Whatever the header says, what verifies is accepted and what does not is not."""
    assert authenticate([SIGNED], algorithms=algorithms).signature == SIGNED
    with pytest.raises(Rejected):
        authenticate([signature.sign(OTHER_SECRET, BODY)], algorithms=algorithms)


@pytest.mark.parametrize(
    ("algorithms", "expected"),
    [
        (["HMACSHA256"], True),
        (["hmac-sha256"], True),
        (["HMAC_SHA256"], True),
        (["SHA-256"], True),
        (["sha256"], True),
        ([], False),
        (["SHA256", "SHA256"], False),
        (["HMACSHA512"], False),
        (["HMACSHA1"], False),
        ([""], False),
        (["\udcffsha256"], False),
    ],
)
def test_the_algorithm_is_compared_by_name(algorithms: list[str], expected: bool) -> None:
    """Case, `-` and `_` do not count; missing, repeated and other are a mismatch."""
    assert signature.algorithm_matches(algorithms) is expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"content":{"a":1}}', b'{"a":1}'),
        (b'{"type":"content", "content" : [ 1 ] }', b"[ 1 ]"),
        (b'{"\\u0063ontent":1}', b"1"),
        (b'{"content":"{\\"a\\":\\"\\u010d\\"}"}', '{"a":"č"}'.encode()),
        (b'{"content":"plain"}', b"plain"),
        (b'{"meta":{"content":1},"content":null}', b"null"),
    ],
)
def test_the_content_is_what_its_sender_signs(body: bytes, message: bytes) -> None:
    """With signs: content the message is the value's raw bytes, or the text of a string, unescaped."""
    assert signature.message_of(Signs.CONTENT, body) == message
    assert deliver(body, CONTENT_SOURCE).body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"not json",
        b'["content"]',
        b'{"meta":{"content":1}}',
        b'{"content":1,"content":1}',
        b'{"content":1,"\\u0063ontent":2}',
        b'{"content":1}{"content":1}',
        b'{"content":"\\ud800"}',
        b'{"content":"\xff"}',
        b'{"content":"\\x"}',
        b'{"content":"',
    ],
)
def test_content_that_is_not_there_exactly_once_is_refused(body: bytes) -> None:
    """None, two (however they are spelt), or one that no message can be made of: refused before any comparison."""
    assert refusal([SIGNED], body, CONTENT_SOURCE) is Refusal.AMBIGUOUS_CONTENT


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{}", "0 members named content"),
        (b'{"content":1,"content":1}', "2 members named content"),
        (b'["content"]', "no object with a readable content"),
    ],
)
def test_what_is_ambiguous_is_told(body: bytes, detail: str) -> None:
    """The log says what is wrong with the content, and nothing of what the sender wrote."""
    with pytest.raises(Rejected) as caught:
        signature.message_of(Signs.CONTENT, body)
    assert caught.value.detail == detail


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    content=st.recursive(
        st.none() | st.integers() | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
    ascii_only=st.booleans(),
)
def test_the_message_is_the_content_as_a_parser_reads_it(content: object, ascii_only: bool) -> None:
    """For any content the message is its JSON, or for a string its text."""
    body = json.dumps({"type": "x", "content": content, "meta": {"content": 1}}, ensure_ascii=ascii_only)
    message = signature.message_of(Signs.CONTENT, body.encode())
    assert (message.decode() if isinstance(content, str) else json.loads(message)) == content


@given(st.binary(max_size=60))
def test_any_body_is_accepted_or_rejected(body: bytes) -> None:
    """With signs: content no bytes raise anything but Rejected."""
    assert refusal([SIGNED], b'{"content":' + body, CONTENT_SOURCE) in {
        Refusal.AMBIGUOUS_CONTENT,
        Refusal.BAD_SIGNATURE,
    }


def test_the_other_reading_is_recognised() -> None:
    """A request signed by the reading that is not configured is told from a forgery."""
    body = b'{"content":{"a":1}}'
    by_body, by_content = [signature.sign(SECRET, body)], [signature.sign(SECRET, b'{"a":1}')]
    assert signature.other_reading_verifies(SOURCE, by_content, body)
    assert signature.other_reading_verifies(CONTENT_SOURCE, by_body, body)
    assert not signature.other_reading_verifies(SOURCE, by_body, body)
    assert not signature.other_reading_verifies(SOURCE, [signature.sign(OTHER_SECRET, b'{"a":1}')], body)
    assert not signature.other_reading_verifies(SOURCE, by_content, b"{}")
    assert not signature.other_reading_verifies(SOURCE, [], body)


def test_a_fingerprint_names_a_key_and_does_not_hold_it() -> None:
    """Eight hexadecimal digits, the same for the same key only."""
    name = signature.fingerprint(SECRET)
    assert len(name) == 8
    assert int(name, 16) >= 0
    assert name == signature.fingerprint(SECRET) != signature.fingerprint(OTHER_SECRET)
    assert SECRET.decode() not in repr(SOURCE)


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (TRACEPARENT, TRACEPARENT),
        (None, None),
        ("", None),
        (TRACEPARENT.upper(), None),
        ("ff" + TRACEPARENT[2:], None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{'1' * 32}-{'0' * 16}-01", None),
        (TRACEPARENT + "\n", None),
        ("\udcff", None),
    ],
)
def test_only_a_valid_traceparent_is_kept(given_value: str | None, kept: str | None) -> None:
    """What W3C Trace Context calls invalid is left out, so that a delivery holds nothing that cannot be a header."""
    assert authenticate([SIGNED], traceparent=given_value).traceparent == kept
