"""Faults of an HTTP server: each is an answer in place of the right one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from aiohttp import ClientConnectionResetError, web

from relay.sandbox.authority import entra_error

Fault: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHUNK = b" " * 65_536
_ENORMOUS = 10_000_000_000
_REDIRECTED_TO = "/elsewhere"


async def not_json(_request: web.Request) -> web.StreamResponse:
    """Answer 200 with a page, as a proxy does that wants somebody to log in."""
    return web.Response(text="<html><title>Sign in</title></html>", content_type="text/html")


async def deep(_request: web.Request) -> web.StreamResponse:
    """Answer 200 with JSON that is nested so deep that a reader may run out of stack."""
    return web.Response(body=b'{"x":' + b"[" * 100_000, content_type="application/json")


async def latin(_request: web.Request) -> web.StreamResponse:
    """Answer 200 with JSON whose text is not UTF-8."""
    return web.Response(body=b'{"access_token": "\xe9", "webhooksSignatureAuthenticationKey": "\xe9"}')


async def endless(request: web.Request) -> web.StreamResponse:
    """Answer 200 with a body that has no end."""
    return await _pour(request, web.StreamResponse())


async def enormous(request: web.Request) -> web.StreamResponse:
    """Answer 200 with a body of 10 GB, and its length beforehand."""
    return await _pour(request, web.StreamResponse(headers={"Content-Length": str(_ENORMOUS)}))


async def silent(_request: web.Request) -> web.StreamResponse:
    """Do not answer; the request is cancelled when its client leaves."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def dripping(request: web.Request) -> web.StreamResponse:
    """Answer 200 with a space now and then, so that there is always something to wait for."""
    return await _pour(request, web.StreamResponse(), b" ", 0.05)


async def redirect(_request: web.Request) -> web.StreamResponse:
    """Answer that the same is to be asked elsewhere."""
    return web.Response(status=307, headers={"Location": f"{_REDIRECTED_TO}?token=abc"})


async def cut(request: web.Request) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport:
        request.transport.abort()
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def status(number: int, *, retry_after: str | None = None) -> Fault:
    """Answer a status with the vendor's body for errors."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        headers = {"Retry-After": retry_after} if retry_after is not None else {}
        return api_error(number, "An error has occurred.", headers)

    return answer


def entra(code: int) -> Fault:
    """Answer an error of Entra ID, by its AADSTS number."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return entra_error(code)

    return answer


def json(value: object) -> Fault:
    """Answer 200 with JSON of another shape or with another content."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(value)

    return answer


def key(text: object) -> Fault:
    """Answer the options with another key, or with what is none."""
    return json({"webhooksSignatureAuthenticationKey": text})


def api_error(number: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Give the vendor's answer for an error."""
    body = {"message": message, "exceptionMessage": message, "exceptionType": "Syskit.Point.ApiException"}
    return web.json_response(body, status=number, headers=headers)


async def _pour(
    request: web.Request, response: web.StreamResponse, chunk: bytes = _CHUNK, pause: float = 0.0
) -> web.StreamResponse:
    """Write until the client leaves."""
    await response.prepare(request)
    with suppress(ClientConnectionResetError):
        while True:
            await response.write(chunk)
            await asyncio.sleep(pause)
    return response
