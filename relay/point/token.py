"""Tokens of Microsoft Entra ID, by client credentials: a secret, or a federated token in a file."""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import structlog

from relay.config.interpolation import UnresolvedError, read_secret
from relay.point.failure import PointError
from relay.point.refusal import token_refusal
from relay.point.wire import ATTEMPTS, UNREADABLE, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.config import PointConfig
    from relay.point.wire import Wire

RENEWED_AT = 0.8

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_OK = 200
_VISIBLE = re.compile(r"[!-~]{1,16384}")
_UNTOLD = 300.0
_MAX_LIFE = 86_400.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, when it is to be renewed, and when it ends, by the clock."""

    text: str = field(repr=False)
    stale: float
    end: float


class _Granted(msgspec.Struct):
    """What Entra ID answers; some write the number as a text."""

    access_token: str
    expires_in: float | str = _UNTOLD


def _life(granted: _Granted) -> float:
    """Give for how many seconds a token is good, at most a day; raises `ValueError` when it is not, or no number."""
    life = float(granted.expires_in)
    if not 0 < life < math.inf:
        raise ValueError
    return min(life, _MAX_LIFE)


class Tokens:
    """The application's token: kept for 80 % of its life, renewed by one request for all who wait."""

    def __init__(self, config: PointConfig, wire: Wire, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask for nothing yet."""
        self._config = config
        self._wire = wire
        self._clock = clock
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token] | None = None

    async def current(self) -> str:
        """Give a token that is good now; raises `PointError`.

        Nobody waits for a renewal while the token before is good, which serves until its end.
        """
        token = self._token
        now = self._clock()
        if token is None or now >= token.end:
            return (await asyncio.shield(self._renewed())).text
        if now >= token.stale:
            self._renewed()
        return token.text

    def forget(self, text: str) -> None:
        """Do not use a token again, as it was refused; one that is newer stays."""
        if self._token and self._token.text == text:
            self._token = None

    async def close(self) -> None:
        """Give up a renewal that is under way."""
        if self._renewal:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renewed(self) -> asyncio.Task[_Token]:
        """Give the one renewal, which goes on when who waits for it is cancelled."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._done)
        return self._renewal

    def _done(self, renewal: asyncio.Task[_Token]) -> None:
        """Let the next one who needs a token begin a renewal; what went wrong was told those who wait."""
        self._renewal = None
        if renewal.cancelled():
            return
        error = renewal.exception()
        if error is None:
            self._token = renewal.result()
        elif self._token and self._clock() < self._token.end:
            log.warning("token.kept", authority=self._config.authority, error=str(error))

    async def _renew(self) -> _Token:
        """Ask the authority for a token."""
        config = self._config
        url = f"{config.authority}/{config.tenant}/oauth2/v2.0/token"
        form = {"client_id": config.client_id, "grant_type": "client_credentials", "scope": config.scope}
        form |= await asyncio.to_thread(self._credential)
        asked = self._clock()
        request = Request("POST", url, form=form)
        answer = await self._wire.ask(request, attempts=ATTEMPTS)
        if answer.status != _OK:
            raise token_refusal(str(request), answer)
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted)
            life = _life(granted)
        except (*UNREADABLE, ValueError):
            raise PointError(f"{request}: the answer holds no token; check authority and tenant") from None
        if not _VISIBLE.fullmatch(granted.access_token):
            raise PointError(f"{request}: the answer's token could not stand in a header; check authority")
        return _Token(granted.access_token, asked + RENEWED_AT * life, asked + life)

    def _credential(self) -> dict[str, str]:
        """Give what proves who the relay is. The file is read for every request, as its content is rotated."""
        if self._config.client_secret:
            return {"client_secret": self._config.client_secret.reveal()}
        try:
            assertion = read_secret(str(self._config.token_file))
        except UnresolvedError as error:
            raise PointError(f"token_file {error}", curable=True) from None
        return {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
