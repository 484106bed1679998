"""Somebody else's HTTP server: keeps what it is sent, and answers as a test tells it to."""

import asyncio
from collections import deque

import msgspec
from aiohttp import web


class Got(msgspec.Struct):
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


class Receiver:
    """`answers` are the statuses of the next requests, 200 when there are none; 0 hangs until
    `release`. `under_way` is how many it holds, `most` the largest number of those so far."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: deque[int] = deque()
        self.bodies: dict[str, object] = {}
        self.slow = 0.0
        self.release = asyncio.Event()
        self.under_way = self.most = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://127.0.0.1:{address[1]}"

    async def stop(self) -> None:
        self.release.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.got.append(Got(request.path, dict(request.headers), body))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            status = self.answers.popleft() if self.answers else 200
            if status == 0:
                await self.release.wait()
                status = 200
            if self.slow:
                await asyncio.sleep(self.slow)
            said = self.bodies.get(request.path, {"path": request.path, "count": len(self.got)})
            return web.json_response(said, status=status)
        finally:
            self.under_way -= 1
