"""Server: makes a connection of each client that comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from relay.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.config import Listen
    from relay.server.answer import Answer
    from relay.server.request import Request


class Server(web.Server):
    """Makes a `Connection` for each client.

    aiohttp's own would drop every setting with only a warning when one keyword is wrong.
    """

    def __init__(
        self,
        handler: Callable[[Request], Awaitable[Answer]],
        listen: Listen,
        *,
        refuse: Callable[[int], Answer],
        turn_away: Callable[[str], Answer | None],
    ) -> None:
        """Give each request to `handler`, which raises nothing.

        `refuse` answers what the parser refused, by its status, `turn_away` what comes, by its path, or not at all.
        """
        super().__init__(handler, handler_cancellation=False)  # type: ignore[arg-type]  # only Connection calls it
        self.handler = handler
        self.header_timeout = listen.header_timeout
        self.idle_timeout = listen.idle_timeout
        self.refuse = refuse
        self.turn_away = turn_away

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self)
