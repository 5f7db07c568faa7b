"""A full relay: who comes is turned away before any work is done for it; the others begin in order, some at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from relay.core.model import Receipt
from relay.ingest import Headers, Ingest
from relay.server.connection import Connection
from relay.server.queue import A_TURN, Queue
from tests.server.listening import listening, signed_request
from tests.spool.samples import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.core.model import Source
    from relay.server import Listener

BODY = b'{"type":"ProvisioningStarted"}'
DELIVERY = signed_request(BODY)
BUSY = b"HTTP/1.1 429 Too Many Requests\r\n"


class Full(Ingest):
    """An ingest that says whether it is full, and notes what it receives."""

    def __init__(self) -> None:  # the parts of an ingest are never reached
        """Have no parts, and no room."""
        self.full = True
        self.received: list[bytes] = []

    @property
    def is_full(self) -> bool:
        """Tell it."""
        return self.full

    async def receive(self, source: Source, headers: Headers, body: bytes) -> Receipt:  # noqa: ARG002 - as its base
        """Take it."""
        self.received.append(body)
        return Receipt(1, "id", "stored", ())


class Client:
    """One connection to a listener whose ingest is full."""

    def __init__(self, ingest: Full, listener: Listener) -> None:
        """Connect with `open`."""
        self.ingest, self.listener = ingest, listener

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.listener.port)

    async def ask(self, data: bytes, *, bodiless: bool = False) -> bytes:
        """Send bytes; give the next answer, whole."""
        self._writer.write(data)
        async with asyncio.timeout(20):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
            return head + (b"" if bodiless else await self._reader.readexactly(int(length[16:])))

    async def rest(self) -> bytes:
        """Read until the listener closes the connection."""
        async with asyncio.timeout(20):
            return await self._reader.read()

    @property
    def connections(self) -> list[Connection]:
        """The connections that the listener has."""
        assert self.listener._server
        return [one for one in self.listener._server.connections if isinstance(one, Connection)]

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def count(self, line: str) -> bool:
        """Tell whether the metrics have this line."""
        return line in self.listener._metrics.render().decode().splitlines()


@asynccontextmanager
async def connected(**listen: float) -> AsyncIterator[Client]:
    """Give a connection to a listener that is full."""
    ingest = Full()
    async with listening(ingest, **listen) as listener:
        client = Client(ingest, listener)
        await client.open()
        yield client
        client.close()


async def test_who_comes_is_turned_away_and_may_come_back() -> None:
    """429 with Retry-After, and nothing received; on the same connection it is taken as soon as there is room."""
    async with connected() as client:
        for _ in range(3):
            answer = await client.ask(DELIVERY)
            assert answer.startswith(BUSY)
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b"Connection" not in answer
        assert client.ingest.received == []
        client.ingest.full = False
        assert (await client.ask(DELIVERY)).startswith(b"HTTP/1.1 202")
        assert client.ingest.received == [BODY]
        assert client.count('relay_deliveries_unavailable_total{cause="busy"} 3.0')
        assert client.count('relay_answer_seconds_count{status="unavailable"} 3.0')


async def test_lines_of_those_turned_away_are_few() -> None:
    """A flood is counted, and not written down line by line; the lines name the source."""
    with capture_logs() as lines:
        async with connected() as client:
            for _ in range(150):
                await client.ask(DELIVERY)
            assert client.count('relay_deliveries_unavailable_total{cause="busy"} 150.0')
    told = [line for line in lines if line["event"] == "delivery.unavailable"]
    assert 1 <= len(told) < 100
    assert {(line["source"], line["cause"]) for line in told} == {("contoso", "busy")}


@pytest.mark.parametrize(
    ("split", "answer"),
    [(1, BUSY), (20, BUSY), (len(DELIVERY) - len(BODY), b"HTTP/1.1 202"), (len(DELIVERY) - 1, b"HTTP/1.1 202")],
)
async def test_what_has_not_come_whole_is_read_first(split: int, answer: bytes) -> None:
    """Whose body is on its way is received, which may refuse it then; the body is never taken for the next request."""
    async with connected() as client:
        client._writer.write(DELIVERY[:split])
        if answer != BUSY:
            await until(lambda: any(one._body for one in client.connections))
        assert (await client.ask(DELIVERY[split:])).startswith(answer)
        assert (await client.ask(DELIVERY)).startswith(BUSY)


async def test_what_is_sent_ahead_is_answered_in_order() -> None:
    """Of requests that come at once none is answered before its turn."""
    async with connected() as client:
        first = await client.ask(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + DELIVERY)
        assert first.startswith(b"HTTP/1.1 404")
        assert (await client.ask(b"")).startswith(b"HTTP/1.1 202")
        assert (await client.ask(DELIVERY)).startswith(BUSY)


@pytest.mark.parametrize(
    "data", [DELIVERY.replace(b"Host:", b"Connection: close\r\nHost:", 1), DELIVERY.replace(b"HTTP/1.1", b"HTTP/1.0")]
)
async def test_who_asks_for_it_is_hung_up_on(data: bytes) -> None:
    """A connection that was to be closed is, after the answer."""
    async with connected() as client:
        answer = await client.ask(data)
        assert answer.startswith(BUSY)
        assert b"\r\nConnection: close\r\n" in answer
        assert await client.rest() == b""


async def test_a_head_is_answered_by_a_head() -> None:
    """The answer to HEAD has no body, turned away or not."""
    async with connected() as client:
        head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(2):
            assert (await client.ask(head, bodiless=True)).startswith(BUSY)


async def test_what_is_no_http_is_told_so() -> None:
    """Garbage, and a request for another protocol, meet what they meet otherwise."""
    async with connected() as client:
        assert (await client.ask(b"garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert await client.rest() == b""
    async with connected() as client:
        upgrade = DELIVERY.replace(b"Host:", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost:", 1)
        assert (await client.ask(upgrade)).startswith(b"HTTP/1.1 202")


async def test_who_is_turned_away_may_be_idle_as_long_as_others() -> None:
    """Each time anew, and no longer."""
    async with connected(idle_timeout=0.6, header_timeout=0.3) as client:
        for _ in range(3):
            assert (await client.ask(DELIVERY)).startswith(BUSY)
            await asyncio.sleep(0.4)
        assert await client.rest() == b""


async def test_a_doubtful_framing_is_looked_at() -> None:
    """What a proxy in front might frame in another way is refused for that, and its connection closed, also then."""
    async with connected() as client:
        head = DELIVERY.partition(b"Content-Length")[0] + b"Transfer-Encoding: identity, chunked\r\n"
        doubtful = (
            head + DELIVERY.partition(b"Signature")[1] + DELIVERY.partition(b"Signature")[2].partition(b"\r\n")[0]
        )
        answer = await client.ask(doubtful + b"\r\n\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        assert await client.rest() == b""


async def test_strangers_fill_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests without a signature wait to begin, who has one is taken."""
    monkeypatch.setattr(Full, "is_full", Ingest.is_full)
    async with connected() as client:
        client.ingest._storing, client.ingest._max_in_flight = 0, 3
        crowd = [Client(client.ingest, client.listener) for _ in range(20)]
        for one in crowd:
            await one.open()
        client.listener._queue._begun = A_TURN
        asking = [asyncio.create_task(one.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)) for one in crowd]
        await until(lambda: len(client.listener._queue) == len(crowd))
        mine = asyncio.create_task(client.ask(DELIVERY))
        await until(lambda: mine.done() or len(client.listener._queue) == len(crowd) + 1)
        client.listener._queue._next()
        assert (await mine).startswith(b"HTTP/1.1 202")
        assert all(one.startswith(b"HTTP/1.1 404") for one in await asyncio.gather(*asking))
        for one in crowd:
            one.close()


async def test_requests_begin_in_order_some_in_a_turn() -> None:
    """Of many that have come, `A_TURN` begin before the loop turns; who gave up meanwhile takes no place."""
    queue = Queue()
    begun: list[int] = []

    async def begin(number: int) -> None:
        await queue.turn()
        begun.append(number)

    tasks = [asyncio.create_task(begin(number)) for number in range(3 * A_TURN)]
    await asyncio.sleep(0)
    assert begun == list(range(A_TURN))
    assert len(queue) == 2 * A_TURN
    for number in range(A_TURN, A_TURN + 10):
        tasks[number].cancel()
    seen = {len(begun)}
    while len(begun) < 3 * A_TURN - 10:
        await asyncio.sleep(0)
        assert len(begun) - max(seen) <= A_TURN
        seen.add(len(begun))
    assert begun == [*range(A_TURN), *range(A_TURN + 10, 3 * A_TURN)]
    assert not len(queue)
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert not queue._begun


async def test_who_waits_to_begin_is_under_way() -> None:
    """A stop waits for it, and it is answered."""
    async with connected() as client:
        client.ingest.full = False
        client.listener._queue._begun = A_TURN
        asking = asyncio.create_task(client.ask(DELIVERY))
        await until(lambda: client.listener.in_flight == len(client.listener._queue) == 1)
        draining = asyncio.create_task(client.listener.drain(20))
        await asyncio.sleep(0.1)
        assert not draining.done()
        client.listener._queue._next()
        assert (await asking).startswith(b"HTTP/1.1 202")
        await draining


async def test_one_alone_never_waits() -> None:
    """While few come, each begins at once."""
    queue = Queue()
    for _ in range(3):
        for _ in range(A_TURN):
            turn = queue.turn()
            with pytest.raises(StopIteration):
                turn.send(None)
        await asyncio.sleep(0)
