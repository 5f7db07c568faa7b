"""Proxy: a network between a client and one server that can be cut, frozen, made deaf and slowed down."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")

CHUNK = 1 << 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST, as a host that was cut off does when it is back


class Proxy:
    """Passes bytes between a port on loopback and one server, as they are, until it is told otherwise.

    It has a thread and an event loop of its own, so a client that is stuck does not hold it up. Its
    methods block for a moment and may be called from any thread; each fault lasts until `heal`. The
    context manager starts and stops it.
    """

    def __init__(self, host: str, port: int, *, listen: int = 0) -> None:
        """Name the server, and the port on 127.0.0.1 to listen on; 0 takes any free one."""
        self._server = host, port
        self._listen = listen
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{host}-{port}", daemon=True)
        self._links: set[asyncio.Task[None]] = set()
        self._sockets: set[asyncio.StreamWriter] = set()
        self._delay = 0.0
        self._whole = True
        self.port = listen

    @property
    def address(self) -> str:
        """Where clients connect, as `host:port`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._thread.start()
        self._do(self._open)
        future = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", self._listen, limit=CHUNK), self._loop
        )
        self._listener = future.result()
        self.port = self._listener.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """End every connection, and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, and each new one as soon as it is made."""
        self._do(self._cut)

    def freeze(self) -> None:
        """Let nothing through and close nothing: a black hole. New connections are taken and stay silent."""
        self._do(self._freeze)

    def deafen(self) -> None:
        """Let requests through and hold the answers back: the server does what the client hears nothing of."""
        self._do(self._answers.clear)

    def slow(self, seconds: float) -> None:
        """Let each piece of data, in both directions, through so many seconds late."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def heal(self) -> None:
        """End every fault. What was held back goes on its way, unless its connection was cut meanwhile."""
        self._do(self._heal)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _do(self, work: Callable[[], T]) -> T:
        """Do something on the loop's thread, and wait for it."""

        async def doing() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(doing(), self._loop).result()

    def _open(self) -> None:
        self._requests, self._answers = asyncio.Event(), asyncio.Event()
        self._heal()

    def _heal(self) -> None:
        self._whole, self._delay = True, 0.0
        self._requests.set()
        self._answers.set()

    def _freeze(self) -> None:
        self._requests.clear()
        self._answers.clear()

    def _cut(self) -> None:
        self._whole = False
        for writer in list(self._sockets):
            _reset(writer)

    async def _close(self) -> None:
        self._listener.close()
        self._cut()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = self._loop.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes from either side, until one of them ends."""
        self._sockets.add(writer)
        try:
            if self._whole:
                with suppress(OSError):
                    await self._pass_on(reader, writer, *await asyncio.open_connection(*self._server, limit=CHUNK))
        finally:
            self._sockets.discard(writer)
            _reset(writer)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._sockets.add(server_writer)
        pumps = [
            asyncio.ensure_future(self._pump(reader, server_writer, self._requests)),
            asyncio.ensure_future(self._pump(server_reader, writer, self._answers)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._sockets.discard(server_writer)
            _reset(server_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while data := await reader.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await gate.wait()
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
