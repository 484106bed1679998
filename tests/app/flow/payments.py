"""A payment service with a durable ledger, behind real HTTP, that can be told to misbehave.

It takes the Idempotency-Key seriously: the same key is one charge, and a refund of a key that was
never charged forbids that charge for ever. That is what makes compensating the unknown safe.
"""

import asyncio
import json
from collections import deque
from pathlib import Path

import apsw
from aiohttp import web

OK, DECLINE, BUSY, BROKEN = "ok", "decline", "busy", "broken"
LOST, HANG, HANG_DONE = "lost", "hang", "hang_done"
"""LOST: done, then the connection breaks. HANG: no answer, nothing done. HANG_DONE: done, no
answer."""


class Payments:
    """`faults` are taken one per request; with none left, `always` holds."""

    def __init__(self, ledger: Path) -> None:
        self.faults: deque[str] = deque()
        self.always = OK
        self.requests: list[tuple[str, str, dict[str, object]]] = []
        self.holding = 0
        self.url = ""
        self._release = asyncio.Event()
        self._conn = apsw.Connection(str(ledger))
        self._conn.set_busy_timeout(2000)
        list(
            self._conn.execute(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                "CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, customer_order TEXT,"
                " amount TEXT, state TEXT, times INTEGER DEFAULT 1)"
            )
        )
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/charges", self._handle)
        app.router.add_post("/refunds", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        self._release.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def captured(self) -> list[str]:
        """Orders that are paid and not refunded."""
        sql = "SELECT customer_order FROM charges WHERE state = 'captured'"
        return sorted(str(order) for (order,) in self._conn.execute(sql))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        key = request.headers["Idempotency-Key"]
        body = json.loads(await request.read())
        self.requests.append((request.path, key, body))
        fault = self.faults.popleft() if self.faults else self.always
        if fault == DECLINE:
            return web.json_response({"error": "declined"}, status=402)
        if fault == BUSY:
            return web.json_response({}, status=429, headers={"Retry-After": "3"})
        if fault == BROKEN:
            return web.json_response({"error": "broken"}, status=500)
        if fault == HANG:
            await self._hold()
        answer = self._refund(key, body) if request.path == "/refunds" else self._charge(key, body)
        if fault == HANG_DONE:
            await self._hold()
        if fault == LOST and request.transport is not None:
            request.transport.abort()
        return answer

    async def _hold(self) -> None:
        self.holding += 1
        try:
            await self._release.wait()
        finally:
            self.holding -= 1
        raise web.HTTPServiceUnavailable

    def _charge(self, key: str, body: dict[str, object]) -> web.Response:
        with self._conn:
            state = self._conn.execute("SELECT state FROM charges WHERE key = ?", (key,)).get
            if state is None:
                self._conn.execute(
                    "INSERT INTO charges (key, customer_order, amount, state) VALUES (?,?,?,?)",
                    (key, body.get("order"), body.get("amount"), "captured"),
                )
            elif state != "captured":
                return web.json_response({"error": f"charge is {state}"}, status=409)
        return web.json_response({"charge": key, "state": "captured"})

    def _refund(self, key: str, body: dict[str, object]) -> web.Response:
        with self._conn:
            self._conn.execute(
                "UPDATE charges SET state = 'refunded' WHERE key = ? OR customer_order = ?",
                (key, body.get("order")),
            )
            self._conn.execute(
                "INSERT OR IGNORE INTO charges (key, customer_order, amount, state)"
                " VALUES (?,?,'0','void')",
                (key, body.get("order")),
            )
        return web.json_response({"refund": key})
