"""What the ingest listener grants a sender: sizes, times and numbers, over raw sockets."""

from __future__ import annotations

import gzip
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import apsw
import pytest

from tests.running import PATH, event, request, signed, until
from tests.server.test_contract import checked

if TYPE_CHECKING:
    from tests.running import Running

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: relay\r\n"
SIGNED = f"{HEAD}Signature: {'A' * 43}=\r\n"  # what may be a signature, or the body would not be read
# What the parser refuses: the status, and the bytes.
UNREADABLE = {
    "no HTTP": (400, b"hello\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "another version": (400, f"POST {PATH} HTTP/7.3\r\n\r\n".encode()),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a control character in the path": (400, b"POST /a\x01b HTTP/1.1\r\n\r\n"),
    "a header without a colon": (400, f"{HEAD}nonsense\r\n\r\n".encode()),
    "a header's name with a space": (400, f"{HEAD}a b: c\r\n\r\n".encode()),
    "a null in a header": (400, f"{HEAD}a: b\0c\r\n\r\n".encode()),
    "two lengths": (400, f"{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}".encode()),
    "a length and chunks": (400, f"{HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()),
    "a negative length": (400, f"{HEAD}Content-Length: -1\r\n\r\n".encode()),
    "a length that is no number": (400, f"{HEAD}Content-Length: 1_0\r\n\r\n".encode()),
    "a chunk without a size": (400, f"{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n".encode()),
    "a long target": (431, b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: relay\r\n\r\n"),
    "a long header": (431, f"{HEAD}X-Long: {'a' * 10_240}\r\n\r\n".encode()),
    "an invented method": (400, f"INVENTED {PATH} HTTP/1.1\r\nHost: relay\r\n\r\n".encode()),
    "many headers": (400, (HEAD + "".join(f"X-{n}: 1\r\n" for n in range(500)) + "\r\n").encode()),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_not_http_is_refused(relay: Running, case: str) -> None:
    """400, or 431 for a head that is too large, without a word of the parser's; the connection is closed."""
    status, data = UNREADABLE[case]
    with relay.wire() as wire:
        answer = checked(wire.ask(data))
        assert answer.status == status
        assert set(answer.fields) == {"error"}
        assert wire.rest() == b""


def test_a_large_body_is_refused_by_its_length(relay: Running) -> None:
    """413 at once from Content-Length, before a byte of the body came, and nobody is asked to go on."""
    with relay.wire() as wire:
        answer = checked(wire.ask(f"{HEAD}Content-Length: 4097\r\nExpect: 100-continue\r\n\r\n".encode()))
        assert answer.status == 413
        assert answer.headers["connection"] == "close"


def test_a_large_body_is_refused_when_it_grows(relay: Running) -> None:
    """413 for a chunked body as soon as it is over the limit, without its end."""
    with relay.wire() as wire:
        answer = checked(
            wire.ask(f"{SIGNED}Transfer-Encoding: chunked\r\n\r\n1001\r\n".encode() + b"a" * 4097 + b"\r\n")
        )
        assert answer.status == 413


def test_a_body_at_the_limit_is_taken(relay: Running) -> None:
    """`max_body` is the largest body that is accepted."""
    body = event().ljust(4096)
    assert relay.post(body).fields["status"] == "published"
    assert relay.post(body + b" ").status == 413


def test_a_slow_body_is_refused(relay: Running) -> None:
    """408 when a body has not arrived within `body_timeout`, however busy its sender seems."""
    with relay.wire() as wire:
        started = time.monotonic()
        wire.send(f"{SIGNED}Content-Length: 100\r\n\r\n".encode())
        answer = checked(wire.answer())
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert 0.5 < time.monotonic() - started < 2


def test_a_body_that_ends_early_is_nobodys(relay: Running) -> None:
    """A sender that hangs up within its body leaves nothing behind but a counted refusal."""
    before = relay.metric("relay_deliveries_rejected_total", source="contoso", reason="body_incomplete")
    with relay.wire() as wire:
        wire.send(f"{SIGNED}Content-Length: 100\r\n\r\n{{".encode())
    until(
        lambda: (
            relay.metric("relay_deliveries_rejected_total", source="contoso", reason="body_incomplete") == before + 1
        )
    )


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity", "identity, identity", ""])
def test_an_encoded_body_is_refused(relay: Running, coding: str) -> None:
    """415 for every Content-Encoding but identity: nothing is unpacked, so the signature is of the raw bytes."""
    body = gzip.compress(event())
    answer = checked(relay.post(body, headers={**signed(body), "Content-Encoding": coding}))
    assert answer.status == 415


def test_a_body_is_never_unpacked(relay: Running) -> None:
    """`identity` passes, and compressed bytes without the header are what they are: authentic, and not JSON."""
    body = event()
    assert relay.post(body, headers={**signed(body), "Content-Encoding": "identity"}).status == 202
    assert relay.post(gzip.compress(body)).fields["reason"] == "malformed"


def test_who_asks_before_sending_is_told_to_go_on(relay: Running) -> None:
    """`Expect: 100-continue` is answered with 100, then with the receipt."""
    body = event()
    head, _, _ = request(body, {**signed(body), "Expect": "100-continue"}).partition(b"\r\n\r\n")
    with relay.wire() as wire:
        assert wire.ask(head + b"\r\n\r\n").status == 100
        assert wire.ask(body).fields["status"] == "published"


def test_a_body_may_come_in_chunks(relay: Running) -> None:
    """A chunked body is read as one, and its signature is over what is inside the chunks."""
    body = event()
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:]))
    with relay.wire() as wire:
        wire.send(f"{HEAD}{lines}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
        assert wire.answer().fields["status"] == "published"


@pytest.mark.parametrize("start", [b"", b"POST ", HEAD.encode()])
def test_a_slow_head_is_closed(relay: Running, start: bytes) -> None:
    """A head that is not complete within `header_timeout` is closed without an answer, also one that trickles in."""
    with relay.wire() as wire:
        started = time.monotonic()
        wire.send(start)
        assert wire.rest() == b""
        assert 0.4 < time.monotonic() - started < 1.1


def test_a_slow_second_head_is_closed(relay: Running) -> None:
    """The time for a head counts for each request of a connection, from its first byte."""
    body = event()
    with relay.wire() as wire:
        assert wire.ask(request(body, signed(body))).status == 202
        started = time.monotonic()
        wire.send(b"POST ")
        assert wire.rest() == b""
        assert 0.4 < time.monotonic() - started < 1.1


def test_an_idle_connection_is_closed(relay: Running) -> None:
    """A connection without requests is closed after `idle_timeout`."""
    body = event()
    with relay.wire() as wire:
        assert wire.ask(request(body, signed(body))).status == 202
        started = time.monotonic()
        assert wire.rest() == b""
        assert 1.0 < time.monotonic() - started < 3


def test_more_requests_than_may_wait_are_told_to_come_back(relay: Running) -> None:
    """429 with Retry-After while `max_in_flight` requests wait to be stored, and no longer."""
    body = event()
    with ExitStack() as wires:
        busy = [wires.enter_context(relay.wire()) for _ in range(4)]
        with closing(apsw.Connection(str(relay.folder / "spool.db"))) as other:
            other.set_busy_timeout(5000)
            other.execute("BEGIN IMMEDIATE")  # the disk is slow
            for wire in busy:
                wire.send(request(body, signed(body)))
            until(lambda: relay.metric("relay_requests_in_flight") == 4)
            answer = checked(relay.post(event()))
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert sorted(str(wire.answer().fields["status"]) for wire in busy) == ["duplicate"] * 3 + ["published"]
    assert relay.metric("relay_deliveries_unavailable_total", cause="busy") == 1


def test_who_holds_bodies_back_keeps_nobody_out(relay: Running) -> None:
    """Requests that are still being read take no place of those that wait to be stored."""
    with ExitStack() as wires:
        for _ in range(20):
            wires.enter_context(relay.wire()).send(f"{SIGNED}Content-Length: 100\r\n\r\n{{".encode())
        until(lambda: relay.metric("relay_requests_in_flight") == 20)
        assert relay.post(event()).fields["status"] == "published"


def test_a_body_without_a_signature_is_not_read(relay: Running) -> None:
    """401 from the head alone when there is nothing that could be a signature; the connection is closed."""
    with relay.wire() as wire:
        answer = checked(wire.ask(f"{HEAD}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode()))
        assert (answer.status, answer.headers["connection"]) == (401, "close")


@pytest.mark.parametrize("framing", ["gzip, chunked", "identity", "chunked, chunked"])
def test_a_body_that_others_may_frame_otherwise_is_refused(relay: Running, framing: str) -> None:
    """400 for every Transfer-Encoding but chunked, so that no proxy in front sees another request than the relay."""
    body = event()
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with relay.wire() as wire:
        assert checked(wire.ask(f"{HEAD}{lines}Transfer-Encoding: {framing}\r\n\r\n".encode() + chunks)).status == 400


def test_who_has_only_finished_sending_is_answered(relay: Running) -> None:
    """A client that closes its side after a request still gets its receipt, and then the end."""
    body = event()
    with relay.wire() as wire:
        wire.send(request(body, signed(body)))
        wire.end()
        assert wire.answer().fields["status"] == "published"
        assert wire.rest() == b""


def test_a_path_is_compared_as_it_was_sent(relay: Running) -> None:
    """An escaped spelling of a source's path is another path: what a proxy lets through is what the relay sees."""
    body = event()
    assert relay.post(body, target="/hooks%2fcontoso").status == 404
    assert relay.post(body, target=PATH.replace("o", "%6f", 1)).status == 404
