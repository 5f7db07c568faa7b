"""The plain service that the relay is measured beside: what one would write in an afternoon.

It checks the signature and answers when Kafka has the body (acks=all, idempotent). It stores nothing, knows no
duplicates, and makes no envelope, key, metrics or log. `python -m bench.plain SERVERS TOPIC`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import sys

from aiohttp import web
from aiokafka import AIOKafkaProducer

from bench.deliveries import KEY
from bench.served import serve


class Plain:
    """Answers 202 with the place of the record in Kafka, or 401."""

    def __init__(self, servers: str, topic: str) -> None:
        """Say where to publish; nothing is open yet. Needs a running loop."""
        self._producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
        self._topic = topic

    async def run(self) -> None:
        """Serve until SIGTERM."""
        await self._producer.start()
        await serve("plain", self._post)
        await self._producer.stop()

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        signature = base64.b64encode(hmac.digest(KEY.encode(), body, hashlib.sha256))
        if not hmac.compare_digest(signature, request.headers.get("Signature", "").encode()):
            return web.Response(status=401)
        stored = await self._producer.send_and_wait(self._topic, body)
        return web.json_response({"partition": stored.partition, "offset": stored.offset}, status=202)


async def main(servers: str, topic: str) -> None:
    """Serve until SIGTERM."""
    await Plain(servers, topic).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
