"""`codeai server` on a PostgreSQL database, as processes of their own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from backstay.up.ports import free_port

PROGRAM = """
config {
  name: "shelf"
  version: "1.0.0"
}

entity Note {
  id: uuid, primary, auto
  text: string, required, unique, max(40)
  count: int, default(0)
}

entity Mark {
  id: uuid, primary, auto
  note: ref(Note)
  at: timestamp, default(now())
}

workflow follow {
  input {
    note: ref(Note)
  }
  steps {
    first {
      do {
        create Mark { note: note.id }
      }
    }
    second {
      do {
        update Note where id == note.id { count: count + 1 }
      }
    }
  }
}

job tick {
  schedule: "* * * * *"
  do {
    create Mark {}
  }
}

endpoint GET /notes {
  auth: public
  returns: paginated(Note)
  filter: [text, count]
  sort: [text]
}

endpoint POST /notes {
  auth: public
  body { text: string, required }
  do {
    let note = create Note { text: body.text }
    return note
  }
  status: 201
}

endpoint POST /followed {
  auth: public
  body { text: string, required }
  do {
    let note = create Note { text: body.text }
    start follow { note: note.id }
    return note
  }
  status: 201
}
"""


class Replica:
    """One server process. Its log is JSON lines in `log`."""

    def __init__(self, folder: Path, url: str, **env: str) -> None:
        self.folder = folder
        self.log = folder / "app.log"
        self._url = url
        self._env = env
        self._base = ""
        self.child: asyncio.subprocess.Process | None = None
        self._client: aiohttp.ClientSession | None = None

    async def start(self, *flags: str) -> None:
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "shelf.cai"
        if not file.exists():
            file.write_text(PROGRAM, encoding="utf-8")
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        with (self.folder / "out.log").open("ab") as out:
            self.child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "backstay.cli.codeai", "server", str(file)),
                *("--listen", f"127.0.0.1:{port}", "--data", str(self.folder / "data"), *flags),
                env=kept
                | {"DATABASE_URL": self._url, "LOG_OUTPUT": str(self.log), "LOG_FORMAT": "json"}
                | self._env,
                stdout=out,
                stderr=out,
            )
        self._client = self._client or aiohttp.ClientSession()
        await self.eventually(self._ready, 30)

    async def ask(
        self, method: str, path: str, body: object = None, key: str = ""
    ) -> tuple[int, Any]:
        """Status and JSON; (0, reason) when the process itself did not answer."""
        assert self._client is not None
        headers = {"idempotency-key": key} if key else {}
        try:
            async with self._client.request(
                method, self._base + path, json=body, headers=headers
            ) as answer:
                raw = await answer.read()
                return answer.status, msgspec.json.decode(raw) if raw else None
        except (aiohttp.ClientError, ConnectionError) as gone:
            return 0, str(gone)

    async def database(self) -> tuple[int, dict[str, Any]]:
        """The status of /health, and its check of the database."""
        status, report = await self.ask("GET", "/health")
        return status, report["checks"]["database"] if status else {}

    async def health_is(self, wanted: int, seconds: float = 15) -> dict[str, Any]:
        """Wait for a status of /health; the check of the database then."""

        async def seen() -> bool:
            status, _ = await self.database()
            return status == wanted

        await self.eventually(seen, seconds)
        return (await self.database())[1]

    async def eventually(self, true: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not await true():
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.kill()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await self.child.wait()
            finally:
                self.kill()

    async def _ready(self) -> bool:
        assert self.child is not None
        assert self.child.returncode is None, (self.folder / "out.log").read_text()
        return (await self.ask("GET", "/health/ready"))[0] == 200


@asynccontextmanager
async def replica(folder: Path, url: str, **env: str) -> AsyncIterator[Replica]:
    """One that answers."""
    made = Replica(folder, url, **env)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
