"""The admin listener, over real sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics

from relay import admin as admin_module
from relay.admin import Admin
from relay.changes import DISCARD, REPLAY, Change, Discarding, Replaying
from relay.config import Secret
from relay.core.errors import Unavailable
from relay.health import Check, State, ask_ready, is_ready
from relay.keys import FETCH, LIST, RETIRE, Fetching, KeyRow, Listing, Retiring
from relay.keys import State as KeyState
from relay.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from multidict import CIMultiDictProxy

    from relay.changes import Asked
    from relay.keys import KeysAsked

WELL = (Check("spool", State.OK, "1.2 MiB of 1 GiB"), Check("kafka", State.WARN, "away for 12 s"))
ILL = (*WELL, Check("keys", State.FAIL, "contoso has no key"))


@dataclass(frozen=True, slots=True)
class Loopback:
    """Any free port on loopback."""

    host: str = "127.0.0.1"
    port: int = 0
    token: Secret | None = None


@dataclass(slots=True)
class Rows:
    """The checks, as the test sets them."""

    now: Sequence[Check] = WELL
    fault: Exception | None = None
    asked: int = 0

    def __call__(self) -> Sequence[Check]:
        """Give the rows, or the fault."""
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.now


@dataclass(slots=True)
class Made:
    """The changes that were asked for: what an admin listener hands on, before anything is done."""

    asked: list[Asked] = field(default_factory=list)
    fault: Unavailable | None = None

    async def make(self, asked: Asked) -> Sequence[Change]:
        """Note what is asked for, and say that it was done."""
        if self.fault:
            raise self.fault
        self.asked.append(asked)
        return [Change(number, topics=("t",)) for number in asked.deliveries]


@dataclass(slots=True)
class Told:
    """The keys that were asked for: what an admin listener hands on."""

    asked: list[KeysAsked] = field(default_factory=list)

    async def answer(self, asked: KeysAsked) -> Sequence[KeyRow]:
        """Note what is asked for, and tell one key."""
        self.asked.append(asked)
        return [KeyRow("contoso", "0123abcd", KeyState.CURRENT, ("fetched",), 1.0, None, None)]


@dataclass(slots=True)
class Running:
    """An admin listener that is up, its rows, and a client of it."""

    admin: Admin
    rows: Rows
    client: aiohttp.ClientSession
    metrics: Metrics = field(repr=False)
    made: Made
    told: Told

    async def get(self, path: str, **headers: str) -> tuple[int, str, CIMultiDictProxy[str]]:
        """Ask for a page: status, text, headers."""
        async with self.client.get(path, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Running]:
    """Start the listener on a free port."""
    rows = Rows()
    metrics = Metrics(sources=("contoso",), types=(), dropping=(), topics=(), version="1")
    made = Made()
    told = Told()
    admin = Admin(Loopback(), rows, metrics, made.make, told.answer)
    await admin.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{admin.port}") as client:
        yield Running(admin, rows, client, metrics, made, told)
    await admin.stop()


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes as they are, and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_live_asks_nobody(running: Running) -> None:
    """/livez is 200 while the loop turns, also when nothing else works."""
    running.rows.fault = OSError("disk")
    status, text, _ = await running.get("/livez")
    assert (status, text, running.rows.asked) == (200, "alive\n", 0)


async def test_ready_follows_the_checks(running: Running) -> None:
    """/readyz is 200 exactly while no check has failed; a warning never changes it."""
    assert (await running.get("/readyz"))[:2] == (200, "ready\n")
    running.rows.now = ILL
    assert (await running.get("/readyz"))[:2] == (503, "not ready: keys\n")
    running.rows.now = WELL
    assert (await running.get("/readyz"))[0] == 200


async def test_verbose_is_a_line_a_check(running: Running) -> None:
    """/readyz?verbose shows each check with its mark, name and detail."""
    running.rows.now = ILL
    status, text, headers = await running.get("/readyz?verbose")
    assert (status, headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert text == "[+] spool: 1.2 MiB of 1 GiB\n[!] kafka: away for 12 s\n[-] keys: contoso has no key\n"


@pytest.mark.parametrize(("path", "accept"), [("/readyz?verbose&format=json", "*/*"), ("/readyz", "application/json")])
async def test_ready_is_json_when_asked(running: Running, path: str, accept: str) -> None:
    """The same rows come as JSON for who asks by query or by Accept, with the same status."""
    running.rows.now = ILL
    status, text, headers = await running.get(path, Accept=accept)
    assert (status, headers["Content-Type"]) == (503, "application/json")
    document = json.loads(text)
    assert document["ready"] is False
    assert document["checks"][2] == {"name": "keys", "state": "fail", "detail": "contoso has no key", "vital": True}


async def test_checks_that_cannot_be_read_are_not_ready(running: Running) -> None:
    """A fault in the checks is 503 with a row, and no traceback."""
    running.rows.fault = ValueError("s3cret")
    status, text, _ = await running.get("/readyz?verbose")
    assert (status, text) == (503, "[-] checks: could not be read; the log says why\n")


@pytest.mark.parametrize("path", ["/readyz?verbose", "/readyz?format=json"])
async def test_a_detail_may_hold_anything(running: Running, path: str) -> None:
    """Line ends and lone surrogates in a detail break neither the rows nor the answer."""
    running.rows.now = (Check("kafka", State.WARN, "odd\n[-] keys: \udc80"),)
    status, text, _ = await running.get(path)
    assert (status, text.count("\n") <= 1) == (200, True)


async def test_metrics_are_prometheus_text(running: Running) -> None:
    """/metrics is Prometheus text 0.0.4 unless OpenMetrics is accepted."""
    running.metrics.accepted("contoso")
    status, text, headers = await running.get("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'relay_deliveries_accepted_total{source="contoso"} 1.0\n' in text


async def test_metrics_are_open_metrics_when_accepted(running: Running) -> None:
    """Who accepts OpenMetrics gets it, well formed and under its own type."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    status, text, headers = await running.get("/metrics", Accept=accept)
    assert (status, headers["Content-Type"]) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert list(parse_open_metrics(text))  # type: ignore[no-untyped-call] # the library left it untyped


async def test_other_pages_and_methods_are_refused(running: Running) -> None:
    """Another path is 404, another method 405 with Allow; both say what there is."""
    status, text, _ = await running.get("/")
    assert (status, text) == (
        404,
        f"not found; there are /livez, /readyz, /metrics, {REPLAY}, {DISCARD}, {LIST}, {FETCH}, {RETIRE}\n",
    )
    async with running.client.post("/readyz", data=b"x" * 100_000) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_head_has_no_body(running: Running) -> None:
    """HEAD gives the status of GET, and no body."""
    running.rows.now = ILL
    async with running.client.head("/readyz") as answer:
        assert (answer.status, await answer.read()) == (503, b"")


async def test_no_answer_names_versions(running: Running) -> None:
    """No answer has a Server header, and none may be cached."""
    for path in ("/livez", "/readyz", "/metrics", "/other"):
        _, _, headers = await running.get(path)
        assert "Server" not in headers
        assert headers["Cache-Control"] == "no-store"
    assert b"Server" not in await raw(running.admin.port, b"NOT HTTP\r\n\r\n")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NOT HTTP\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
        b"GET /%ff%00%zz?%ff=%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: x\r\nAccept: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET http://[/readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"BREW /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=lambda b: repr(b[:24]),
)
async def test_hostile_requests_get_a_clear_answer(running: Running, request_bytes: bytes) -> None:
    """Whatever arrives, there is no 5xx, no traceback, and the next one is answered."""
    answer = await raw(
        running.admin.port, request_bytes + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 4", b"HTTP/1.1 4"))
    assert b"Traceback" not in answer
    assert b"HTTP/1.1 5" not in answer
    assert (await running.get("/livez"))[0] == 200


async def posted(running: Running, page: str, body: str, **headers: str) -> tuple[int, str]:
    """Ask for a change, as JSON unless said otherwise."""
    headers = {"Content-Type": "application/json"} | headers
    async with running.client.post(page, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_changes_are_handed_on(running: Running) -> None:
    """What is asked for as JSON is done, and what was done is told as JSON."""
    status, text = await posted(running, REPLAY, '{"deliveries": [17], "topic": "t"}')
    assert (status, json.loads(text)) == (
        200, [{"delivery": 17, "reason": None, "topics": ["t"], "replay": None, "refused": None}]
    )  # fmt: skip
    await posted(running, DISCARD, '{"deliveries": [1, 2], "because": "spam", "dry_run": true}')
    assert running.made.asked == [Replaying((17,), "t"), Discarding((1, 2), "spam", dry_run=True)]


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "{}",
        '{"deliveries": []}', '{"deliveries": [0]}', '{"deliveries": ["1"]}', '{"deliveries": [1.5]}',
        '{"deliveries": [1], "forever": true}',
        '{"deliveries": [18446744073709551616]}', f'{{"deliveries": {[1] * 201}}}',
        '{"deliveries": [1], "topic": "\\ud800"}', "\xff",
    ],
)  # fmt: skip
async def test_what_is_no_change_is_refused(running: Running, body: str) -> None:
    """A body that does not say exactly what is asked here gets 400 with the fault, and nothing is done."""
    status, text = await posted(running, REPLAY, body)
    assert (status, text.startswith("the body is not what is asked here: ")) == (400, True)
    assert running.made.asked == []


async def test_changes_are_asked_with_post_and_in_bounds(running: Running) -> None:
    """GET changes nothing, a body over the bound is refused, and the relay says why it cannot."""
    assert (await running.get(REPLAY))[0] == 405
    assert (await posted(running, REPLAY, " " * (admin_module.MAX_BODY + 1)))[0] == 413
    running.made.fault = Unavailable("the relay is stopping")
    assert await posted(running, REPLAY, '{"deliveries": [1]}') == (503, "the relay is stopping\n")
    assert running.made.asked == []


@pytest.mark.parametrize(
    ("page", "body", "asked"),
    [
        (LIST, "{}", Listing()),
        (FETCH, '{"source": "contoso"}', Fetching("contoso")),
        (RETIRE, '{"fingerprint": "0123abcd"}', Retiring("0123abcd")),
    ],
)
async def test_keys_are_asked_for(running: Running, page: str, body: str, asked: KeysAsked) -> None:
    """What is asked of the keys is handed on, and the keys are told by their fingerprints."""
    status, text = await posted(running, page, body)
    assert (status, [row["fingerprint"] for row in json.loads(text)]) == (200, ["0123abcd"])
    assert running.told.asked == [asked]
    assert (await posted(running, RETIRE, '{"fingerprint": "ABC"}'))[0] == 400
    assert (await posted(running, page, body, Host="evil.example"))[0] == 403
    assert running.told.asked == [asked]


async def test_a_browser_changes_nothing(running: Running) -> None:
    """A stranger's page may post texts to loopback, or have its own name lead there: neither is a change."""
    body = '{"deliveries": [1]}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert (await posted(running, REPLAY, body, **{"Content-Type": kind}))[0] == 415
    for host in ("evil.example", f"evil.example:{running.admin.port}", "127.0.0.1.evil.example", ""):
        assert (await posted(running, REPLAY, body, Host=host))[0] == 403
    assert running.made.asked == []
    for host in ("localhost", "[::1]:9090", "127.0.0.1"):
        assert (await posted(running, REPLAY, body, Host=host))[0] == 200


async def test_who_asks_the_address_that_is_configured_is_answered() -> None:
    """Loopback has more addresses than one."""
    made = Made()
    metrics = Metrics(sources=(), types=(), dropping=(), topics=(), version="1")
    admin = Admin(Loopback(host="127.0.0.2"), Rows(), metrics, made.make, Told().answer)
    await admin.start()
    async with aiohttp.ClientSession(f"http://127.0.0.2:{admin.port}") as client:
        running = Running(admin, Rows(), client, metrics, made, Told())
        assert (await posted(running, REPLAY, '{"deliveries": [1]}'))[0] == 200
        assert (await posted(running, REPLAY, '{"deliveries": [1]}', Host="127.0.0.3"))[0] == 403
    await admin.stop()


async def test_changes_want_the_token() -> None:
    """With a token configured nobody changes anything without it, on loopback neither; health stays open."""
    made, rows = Made(), Rows()
    metrics = Metrics(sources=(), types=(), dropping=(), topics=(), version="1")
    admin = Admin(Loopback(token=Secret("a-token-of-mine-16")), rows, metrics, made.make, Told().answer)
    await admin.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{admin.port}") as client:
        running = Running(admin, rows, client, metrics, made, Told())
        for wrong in ("", "Bearer", "Bearer a-token-of-mine-1", "a-token-of-mine-16", "Bearer \u00e9"):
            status, text = await posted(running, REPLAY, '{"deliveries": [1]}', Authorization=wrong)
            assert (status, "admin.token_file" in text) == (401, True)
        assert (await running.get("/readyz"))[0] == 200
        right = {"Authorization": "Bearer a-token-of-mine-16", "Host": "relay.example"}
        assert (await posted(running, DISCARD, '{"deliveries": [1], "because": "x"}', **right))[0] == 200
    await admin.stop()
    assert made.asked[-1] == Discarding((1,), "x")


async def test_a_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends no request, or half of one, is closed after the idle timeout."""
    monkeypatch.setattr(admin_module, "IDLE_TIMEOUT", 0.1)
    metrics = Metrics(sources=(), types=(), dropping=(), topics=(), version="1")
    admin = Admin(Loopback(), Rows(), metrics, Made().make, Told().answer)
    await admin.start()
    assert await raw(admin.port, b"") == b""
    assert await raw(admin.port, b"GET /livez HTTP/1.1\r\nHo") == b""
    await admin.stop()


async def test_the_settings_are_in_force(running: Running) -> None:
    """The effective settings are those asked for: aiohttp drops all of them for one wrong keyword."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.admin.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"alive\n")
    assert running.admin._runner is not None
    assert running.admin._runner.server is not None
    (connection,) = running.admin._runner.server.connections
    assert connection.keepalive_timeout == admin_module.IDLE_TIMEOUT
    assert connection._lingering_time == admin_module.LINGERING_TIME
    assert (connection.max_line_size, connection.max_headers) == (admin_module.MAX_LINE, admin_module.MAX_HEADERS)
    assert connection.access_logger is None
    writer.close()
    await writer.wait_closed()


async def test_a_port_that_is_taken_is_an_error(running: Running) -> None:
    """`start` raises OSError when it cannot bind, and leaves nothing behind."""
    second = Admin(Loopback(port=running.admin.port), running.rows, running.metrics, Made().make, Told().answer)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    with pytest.raises(RuntimeError):
        _ = second.port
    await second.stop()


async def test_stop_closes_the_port(running: Running) -> None:
    """After `stop` nobody is answered; it may be called again."""
    port = running.admin.port
    await running.admin.stop()
    await running.admin.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_health_is_asked_from_outside(running: Running) -> None:
    """`ask_ready` says what `/readyz` says, and that nobody answers, and never raises."""
    port = running.admin.port
    assert await asyncio.to_thread(ask_ready, "0.0.0.0", port, 5.0) == (True, "\n".join(map(str, WELL)))
    running.rows.now = ILL
    ready, text = await asyncio.to_thread(ask_ready, "127.0.0.1", port, 5.0)
    assert (ready, text.splitlines()[-1]) == (False, "[-] keys: contoso has no key")
    await running.admin.stop()
    ready, text = await asyncio.to_thread(ask_ready, "127.0.0.1", port, 5.0)
    assert (ready, text.startswith(f"no answer from 127.0.0.1 port {port}: ")) == (False, True)
    assert (await asyncio.to_thread(ask_ready, "x" * 100, port, 5.0))[0] is False


async def test_one_that_never_answers_is_not_ready() -> None:
    """`ask_ready` gives up after its timeout, and on what is not HTTP."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async def babbling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0\r\n")
        writer.close()

    gone = asyncio.Event()
    for answer in (silent, babbling):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert (await asyncio.to_thread(ask_ready, "127.0.0.1", port, 0.2))[0] is False
        gone.set()
        server.close()
        await server.wait_closed()


def test_no_check_is_ready() -> None:
    """Ready means that no check has failed, whatever their order."""
    assert is_ready(())
    assert not is_ready(tuple(reversed(ILL)))
