"""A bare aiohttp handler: it reads the body and answers. What HTTP alone costs. `python -m bench.bare`."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bench.served import serve


async def post(request: web.Request) -> web.Response:
    """Answer 202, whatever came."""
    body = await request.read()
    return web.json_response({"bytes": len(body)}, status=202)


if __name__ == "__main__":
    asyncio.run(serve("bare", post))
