"""A program in a real server process of its own, asked over its socket, killed when a test likes."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from backstay.core import control
from backstay.core.clock import SystemClock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Client

SERVED = Path(__file__).with_name("served.py")
OVER = ("completed", "failed", "compensated", "compensation_failed", "cancelled")


class Live:
    """`program` is the file it serves; `env` comes on top of the test's own environment."""

    def __init__(self, folder: Path, program: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.program = program
        self.env = dict(env or {})
        self.child: asyncio.subprocess.Process | None = None
        at = self.env.get("SERVED_AT", "")
        self._host = at or "app"
        socket = None if at else folder / "app.sock"
        self._client = Client(SystemClock(), EgressRules(("loopback",)), unix=socket)

    async def start(self) -> None:
        with (self.folder / "app.log").open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable,
                str(SERVED),
                str(self.folder),
                str(self.program),
                env={**os.environ, **self.env},
                stdout=log,
                stderr=log,
            )
        await self.eventually(self._answers, 60.0)

    async def kill(self) -> None:
        """As kill -9 does."""
        if self.child is not None and self.child.returncode is None:
            self.child.kill()
            await self.child.wait()

    async def ask(
        self, method: str, path: str, body: object = None, raw: bytes | None = None
    ) -> tuple[int, Any]:
        sent = raw if raw is not None else (b"" if body is None else msgspec.json.encode(body))
        headers = {"Content-Type": "application/json"}
        url = f"http://{self._host}/api/v1{path}"
        answer = await self._client.request(method, url, headers, sent, 30.0)
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def begin(self, workflow: str, **input: object) -> str:
        """Start a workflow by hand; the execution's id."""
        status, body = await self.ask("POST", f"/workflows/{workflow}/start", input)
        assert status == 202, body
        return str(body["id"])

    async def ended(self, id: str, seconds: float = 60.0) -> dict[str, Any]:
        """The execution, once it has ended."""
        found: dict[str, Any] = {}

        async def over() -> bool:
            found.update(await self.get(f"/executions/{id}"))
            return found["status"] in OVER

        await self.eventually(over, seconds)
        return found

    async def eventually(
        self, done: Callable[[], Awaitable[object]], seconds: float = 60.0
    ) -> None:
        async with asyncio.timeout(seconds):
            while not await done():
                await asyncio.sleep(0.03)

    async def look(self, route: str) -> Any:
        return await control.ask(self.folder / "run" / "app.ctl", route)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Straight from the file, which is only read."""
        look = apsw.Connection(str(self.folder / "app.db"), flags=apsw.SQLITE_OPEN_READONLY)
        look.set_busy_timeout(2000)
        try:
            return list(look.execute(sql, values))  # type: ignore[arg-type]
        finally:
            look.close()

    def log(self) -> str:
        return (self.folder / "app.log").read_text()

    async def close(self) -> None:
        await self.kill()
        await self._client.close()

    async def _answers(self) -> bool:
        assert self.child is not None
        assert self.child.returncode is None, self.log()
        with contextlib.suppress(Fault):
            return (await self.ask("GET", "/workflows"))[0] == 200
        return False
