"""The HTTP contract of the ingest listener, row by row, over raw sockets."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from relay.core.signature import sign
from tests.running import KEY, PATH, event, request, signed, until

if TYPE_CHECKING:
    from tests.running import Running
    from tests.wire import Answer

BODY = b'{"type":"ProvisioningStarted"}'
VECTOR = "X1NhfbgkqaB+xUEqwqJdbkjsi6fQkkxVvQaWCbw1gsQ="  # of BODY, computed with OpenSSL
REFUSED = {"error": "the signature is missing or wrong"}

WRONG_SIGNATURES = {
    "missing_signature": "",
    "repeated_signature": f"Signature: {VECTOR}\r\nSignature: {VECTOR}\r\n",
    "bad_signature": f"Signature: {sign(b'another key of the sender', BODY)}\r\n",
    "bad_signature of another body": f"Signature: {sign(KEY.encode(), BODY + b' ')}\r\n",
    "bad_signature by the bytes of the guid": f"Signature: {sign(bytes.fromhex(KEY.replace('-', '')), BODY)}\r\n",
    "malformed_signature": "Signature: \r\n",
    "malformed_signature not ascii": f"Signature: {VECTOR[:-2]}\xff=\r\n",
    "malformed_signature not canonical": f"Signature: {VECTOR[:-2]}R=\r\n",
    "malformed_signature without padding": f"Signature: {VECTOR[:-1]}\r\n",
    "malformed_signature with a space": f"Signature: {VECTOR[:20]} {VECTOR[20:]}\r\n",
    "malformed_signature of another length": f"Signature: {base64.b64encode(b'short').decode()}\r\n",
    "malformed_signature in hexadecimal": f"Signature: {base64.b64decode(VECTOR).hex()}\r\n",
    "malformed_signature twice in one": f"Signature: {VECTOR}, {VECTOR}\r\n",
}


def checked(answer: Answer) -> Answer:
    """Assert what holds of every answer: JSON, nothing of the implementation, no redirect, no 5xx but 503."""
    assert answer.headers["server"] == "relay"
    assert answer.headers["content-type"] == "application/json"
    assert not {"location", "x-powered-by"} & set(answer.headers)
    assert 200 <= answer.status < 300 or 400 <= answer.status < 500 or answer.status == 503
    for word in (b"Traceback", b"aiohttp", b"Python", b"File "):
        assert word not in answer.body
    return answer


def test_an_accepted_delivery_is_answered_with_its_receipt(relay: Running) -> None:
    """202 with number, id, status and the place of each record."""
    answer = checked(relay.post(event(event_id="receipt-1")))
    assert answer.status == 202
    (record,) = answer.records
    assert set(answer.fields) == {"delivery", "id", "status", "records"}
    assert answer.fields["id"] == "receipt-1"
    assert answer.fields["status"] == "published"
    assert record.topic == "contract"
    assert record.partition in range(3)
    assert record.offset is not None


def test_a_dropped_delivery_says_so(relay: Running) -> None:
    """202 `dropped`, without records."""
    answer = checked(relay.post(event(kind="Heartbeat")))
    assert (answer.status, answer.fields["status"], answer.fields["records"]) == (202, "dropped", [])


def test_a_dead_delivery_says_so_with_its_reason(relay: Running) -> None:
    """202 `dead` with the reason: an authentic delivery is never refused for its content."""
    answer = checked(relay.post(event(kind="SomethingElse")))
    assert (answer.status, answer.fields["status"], answer.fields["reason"]) == (202, "dead", "unroutable")
    answer = checked(relay.post(b"\xff\x00 not JSON"))
    assert (answer.status, answer.fields["status"], answer.fields["reason"]) == (202, "dead", "malformed")


def test_the_published_vector_is_authentic(relay: Running) -> None:
    """A signature that OpenSSL made of the vendor's key verifies: it is the text of the GUID that signs."""
    assert relay.post(BODY, headers={"Signature": VECTOR, "Algorithm": "hmac-sha256"}).status == 202


@pytest.mark.parametrize("case", WRONG_SIGNATURES)
def test_every_wrong_signature_is_answered_alike(relay: Running, case: str) -> None:
    """401, the same to the byte whatever is wrong; the reason stands only in log and metric."""
    reason = case.split(maxsplit=1)[0]
    before = relay.metric("relay_deliveries_rejected_total", source="contoso", reason=reason)
    with relay.wire() as wire:
        head = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(BODY)}\r\n{WRONG_SIGNATURES[case]}\r\n"
        answer = checked(wire.ask(head.encode("latin-1") + BODY))
    answer.headers.pop("date")
    assert answer.headers == {
        "content-type": "application/json",
        "server": "relay",
        "www-authenticate": "Signature",
        "content-length": str(len(answer.body)),
    }
    assert (answer.status, answer.fields) == (401, REFUSED)
    assert relay.metric("relay_deliveries_rejected_total", source="contoso", reason=reason) == before + 1
    until(lambda: relay.told("delivery.rejected", reason=reason))


@pytest.mark.parametrize("body", [b"{}", b'{"content":1,"content":1}', b"[", b'"content"', b""])
def test_a_content_that_cannot_be_found_is_answered_as_a_wrong_signature(relay: Running, body: bytes) -> None:
    """Where the content is signed, none or two of it are 401, with the same words."""
    answer = checked(relay.post(body, target="/c"))
    assert (answer.status, answer.fields) == (401, REFUSED)


@pytest.mark.parametrize("target", ["/", "/webhooks", f"{PATH}/", "/WEBHOOKS/contoso", "/%00", "//", "*", "/livez"])
def test_an_unknown_path_is_not_found(relay: Running, target: str) -> None:
    """404 for every path but those of the sources, exactly as configured."""
    assert checked(relay.post(event(), target=target)).status in ({404} if target != "*" else {400, 404})


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_told_the_one_that_works(relay: Running, method: str) -> None:
    """405 with Allow: POST."""
    with relay.wire() as wire:
        wire.send(f"{method} {PATH} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
        answer = wire.answer(bodiless=method == "HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_an_absolute_target_is_its_path(relay: Running) -> None:
    """A request through a proxy names the whole URL (RFC 9112, 3.2.2)."""
    assert relay.post(event(), target=f"http://relay.example{PATH}").status == 202


def test_a_query_is_accepted_and_never_logged(relay: Running) -> None:
    """The registered URL may carry a secret in its query; it is on no line of the log, whatever the answer."""
    assert relay.post(event(), target=f"{PATH}?code=5ecret5").status == 202
    assert relay.post(event(), target=f"{PATH}?code=5ecret5", headers={}).status == 401
    assert relay.post(event(), target="/unknown?code=5ecret5").status == 404
    with relay.wire() as wire:
        assert wire.ask(f"POST {PATH}?code=5ecret5 HTTP/9.9\r\n\r\n".encode()).status == 400
    until(lambda: relay.told("delivery.rejected", reason="unreadable_request"))
    assert "5ecret5" not in relay.text


@pytest.mark.parametrize(
    "header", ["Algorithm: none", "Algorithm: HMACSHA512", "Algorithm: \xe9", "", "Algorithm: a\r\nAlgorithm: b"]
)
def test_the_algorithm_is_compared_and_never_obeyed(relay: Running, header: str) -> None:
    """Missing, repeated or another one, while the signature verifies: accepted, warned, counted."""
    before, body = relay.metric("relay_algorithm_mismatch_total", source="contoso"), event()
    lines = f"Content-Length: {len(body)}\r\nSignature: {sign(KEY.encode(), body)}\r\n"
    lines += f"{header}\r\n" if header else ""
    with relay.wire() as wire:
        answer = wire.ask(f"POST {PATH} HTTP/1.1\r\nHost: relay\r\n{lines}\r\n".encode("latin-1") + body)
    assert (answer.status, answer.fields["status"]) == (202, "published")
    assert relay.metric("relay_algorithm_mismatch_total", source="contoso") == before + 1
    assert relay.told("algorithm.mismatched", source="contoso", level="warning")


@pytest.mark.parametrize("name", ["HMACSHA256", "hmac-sha256", "HMAC_SHA256", "sha256", "SHA-256"])
def test_one_algorithm_has_many_names(relay: Running, name: str) -> None:
    """Case, `-` and `_` do not count, and neither does HMAC."""
    before, body = relay.metric("relay_algorithm_mismatch_total"), event()
    assert relay.post(body, headers={**signed(body), "Algorithm": name}).status == 202
    assert relay.metric("relay_algorithm_mismatch_total") == before


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_content_type_is_ignored(relay: Running, kind: str) -> None:
    """What is signed is JSON, whatever it calls itself."""
    body = event()
    assert relay.post(body, headers={**signed(body), "Content-Type": kind}).fields["status"] == "published"


def test_a_connection_is_kept(relay: Running) -> None:
    """Deliveries and refusals follow one another on one connection."""
    with relay.wire() as wire:
        for _ in range(3):
            body = event()
            assert wire.ask(request(body, signed(body))).status == 202
            assert wire.ask(request(body, {})).status == 401
            assert wire.ask(request(body, {}, "/unknown")).status == 404


def test_requests_may_be_sent_ahead(relay: Running) -> None:
    """Pipelined requests are answered each, in order."""
    bodies = [event(event_id=f"pipelined-{number}") for number in range(8)]
    with relay.wire() as wire:
        wire.send(b"".join(request(body, signed(body)) for body in bodies))
        assert [wire.answer().fields["id"] for _ in bodies] == [f"pipelined-{number}" for number in range(8)]


def test_a_request_may_come_byte_by_byte(relay: Running) -> None:
    """Where the network cuts a request does not matter."""
    body = event(event_id="bytewise")
    with relay.wire() as wire:
        for byte in request(body, signed(body)):
            wire.send(bytes([byte]))
        assert wire.answer().fields["id"] == "bytewise"


def test_http_1_0_is_answered_and_closed(relay: Running) -> None:
    """An old client gets its receipt, and the end of the connection."""
    body = event()
    head = request(body, signed(body)).replace(b"HTTP/1.1", b"HTTP/1.0")
    with relay.wire() as wire:
        assert wire.ask(head).fields["status"] == "published"
        assert wire.rest() == b""


def test_what_is_signed_is_what_is_verified(relay: Running) -> None:
    """A body that is the same JSON in other bytes does not verify."""
    body = event()
    other = json.dumps(json.loads(body), separators=(",", ":")).encode()
    assert relay.post(other, headers=signed(body)).status == 401
