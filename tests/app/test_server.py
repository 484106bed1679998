"""`codeai server FILE.cai` as a process of its own, on an address of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer
from backstay.up.ports import free_port

SECRET = "a-secret-of-at-least-thirty-two-bytes"
PROGRAM = """
config {
  name: "notes"
  version: "1.0.0"
  auth: jwt {
    secret: env("JWT_SECRET")
    issuer: "backstay"
    audience: "backstay"
  }
}

entity Note {
  id: uuid, primary, auto
  text: string, required, max(20)
  owner: string, required
  access {
    read: owner == user.id
    create: owner == user.id
  }
}

integration Mail {
  type: rest
  base_url: env("MAIL_URL", "http://127.0.0.1:9")
  operation send {
    method: POST
    path: "/send"
  }
}

endpoint GET /notes {
  auth: required
  returns: paginated(Note)
  sort: [text]
}

endpoint POST /notes {
  auth: required
  body { text: string, required }
  do {
    let note = create Note { text: body.text, owner: user.id }
    return note
  }
  status: 201
}
"""


def spawn(folder: Path, program: str, *flags: str, **env: str) -> subprocess.Popen[str]:
    file = folder / "notes.cai"
    file.write_text(program, encoding="utf-8")
    (folder / "data").mkdir()
    command = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file)]
    # TMPDIR, too: the runtime folder of a long data folder lies there.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [*command, "--data", str(folder / "data"), *flags],
        env=kept | env,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


class Server:
    def __init__(self, port: int, client: aiohttp.ClientSession, host: str = "127.0.0.1") -> None:
        self._base = f"http://{host}:{port}"
        self._client = client

    async def ask(
        self, method: str, path: str, body: object = None, token: str = ""
    ) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = self._base + path
        async with self._client.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def json(self, path: str) -> dict[str, object]:
        async with self._client.get(self._base + path) as answer:
            found: dict[str, object] = await answer.json()
            return found


def token(sub: str) -> str:
    issuer = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
    return issuer.mint(sub=sub, ttl=60.0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as made:
        yield made


@asynccontextmanager
async def serving(folder: Path, host: str = "127.0.0.1", **env: str) -> AsyncIterator[Server]:
    port = free_port()
    process = spawn(folder, PROGRAM, "--listen", f"{host}:{port}", JWT_SECRET=SECRET, **env)
    try:
        async with aiohttp.ClientSession() as client:
            made = Server(port, client, host)
            async with asyncio.timeout(20):
                while True:
                    assert process.poll() is None, process.stderr and process.stderr.read()
                    try:
                        if (await made.ask("GET", "/health/ready"))[0] == 200:
                            break
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.05)
            yield made
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.communicate()


async def test_where_others_reach_the_server_its_metrics_are_for_admins_unless_they_are_opened(
    tmp_path: Path,
) -> None:
    # Only this machine reaches it, but the server does not take it for an address of that kind.
    host = "127.0.0.2"
    async with serving(tmp_path, host) as shut:
        assert (await shut.ask("GET", "/health"))[0] == 200
        assert (await shut.ask("GET", "/metrics"))[0] == 401
        assert (await shut.ask("GET", "/metrics", token=token("bo")))[0] == 403
        admin = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock()).mint(
            "root", ["admin"]
        )
        assert (await shut.ask("GET", "/metrics", token=admin))[0] == 200
    (tmp_path / "open").mkdir()
    async with serving(tmp_path / "open", host, METRICS_OPEN="true") as opened:
        assert (await opened.ask("GET", "/metrics"))[0] == 200


async def test_health_and_metrics_need_no_token_and_show_the_pool(server: Server) -> None:
    report = await server.json("/health")
    assert report["status"] == "healthy"
    database = report["checks"]["database"]  # type: ignore[index]
    assert database["status"] == "healthy"
    assert database["details"]["max_connections"] == 25
    assert set(database["details"]) == {"max_connections", "open_connections", "in_use", "idle"}
    assert (await server.ask("GET", "/health/live"))[0] == 200
    await server.ask("GET", "/api/v1/notes")
    text = (await server.ask("GET", "/metrics"))[1].decode()
    assert 'http_requests_total{method="GET",path="/api/v1/notes",status="401"} 1' in text
    for name in (
        "http_request_duration_seconds_bucket",
        "db_connections_in_use",
        "circuit_breaker_state",
        "workflow_executions_total",
    ):
        assert name in text


async def test_a_token_opens_what_its_holder_may_see_and_nothing_else(server: Server) -> None:
    status, body, headers = await server.ask("GET", "/api/v1/notes")
    assert status == 401
    assert b"AUTH005" in body
    assert headers["www-authenticate"] == "Bearer"
    assert (await server.ask("GET", "/api/v1/notes", token="rubbish"))[0] == 401
    ada, bob = token("ada"), token("bob")
    status, body, _ = await server.ask("POST", "/api/v1/notes", {"text": "mine"}, ada)
    assert status == 201, body
    assert b'"mine"' in (await server.ask("GET", "/api/v1/notes", token=ada))[1]
    assert b'"data":[]' in (await server.ask("GET", "/api/v1/notes", token=bob))[1]
    status, body, _ = await server.ask("POST", "/api/v1/notes", {"text": "x" * 21}, ada)
    assert status == 422
    assert b"Note.text would break its rule: at most 20 characters" in body
    assert (await server.ask("GET", "/api/v1/admin/entities", token=ada))[0] == 403
    assert (await server.ask("GET", "/api/v1/workflows", token=ada))[0] == 200


@pytest.mark.parametrize(
    ("env", "flags", "code", "says"),
    [
        (
            {"DATABASE_URL": "mysql://ada:hunter2@db/x", "JWT_SECRET": SECRET},
            (),
            2,
            "neither sqlite:// nor postgres://",
        ),
        ({}, ("--listen", "0.0.0.0:0"), 2, "CORE012"),
        ({"DATABASE_MAX_CONNECTIONS": "many"}, (), 2, "DATABASE_MAX_CONNECTIONS"),
    ],
)
def test_a_start_that_cannot_be_says_why(
    tmp_path: Path, env: dict[str, str], flags: tuple[str, ...], code: int, says: str
) -> None:
    process = spawn(tmp_path, PROGRAM, *(flags or ("--listen", "127.0.0.1:0")), **env)
    _, told = process.communicate(timeout=20)
    assert says in told
    assert "hunter2" not in told
    assert "Traceback" not in told
    assert process.returncode == code, told


def test_missing_variables_are_named_together(tmp_path: Path) -> None:
    wants = PROGRAM.replace(', "http://127.0.0.1:9"', "").replace(
        "type: rest", 'type: rest\n  auth: bearer(env("MAIL_TOKEN"))'
    )
    process = spawn(tmp_path, wants, "--listen", "127.0.0.1:0")
    _, told = process.communicate(timeout=20)
    assert "MAIL_URL" in told
    assert process.returncode == 2, told
