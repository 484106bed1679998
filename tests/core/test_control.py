"""The control socket answers, refuses in words, and its silence says of which kind it is."""

import asyncio
import socket as sockets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backstay.core.control import (
    ControlServer,
    ControlSilent,
    Reply,
    ask,
    json_reply,
)
from backstay.core.errors import Fault


async def _echo(segment: str, body: bytes) -> Reply:
    return json_reply({"segment": segment, "body": body.decode()})


async def _text(segment: str, body: bytes) -> Reply:
    return Reply(b"a 1\n", "text/plain")


async def _broken(segment: str, body: bytes) -> Reply:
    raise RuntimeError("no disk")


ROUTES = {
    "GET /live": _echo,
    "GET /metrics": _text,
    "GET /broken": _broken,
    "POST /breakers/{}/reset": _echo,
}


@pytest.fixture
async def served(tmp_path: Path):
    server = ControlServer(tmp_path / "x.ctl", ROUTES)
    await server.start()
    yield server
    await server.stop()


async def test_answers_json_and_text(served: ControlServer) -> None:
    assert await ask(served.path, "/live") == {"segment": "", "body": ""}
    assert await ask(served.path, "/metrics") == "a 1\n"


async def test_a_segment_is_unquoted_and_a_body_arrives(served: ControlServer) -> None:
    got = await ask(served.path, "POST /breakers/http%3A%2F%2Fa/reset", body=b"why")
    assert got == {"segment": "http://a", "body": "why"}


async def test_only_the_owner_may_connect(served: ControlServer) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600


async def test_an_unknown_route_names_what_there_is(served: ControlServer) -> None:
    with pytest.raises(Fault) as caught:
        await ask(served.path, "/nothing")
    assert caught.value.values["status"] == 404
    assert "no such control route" in caught.value.message


async def test_a_broken_answer_is_told_and_the_server_lives(served: ControlServer) -> None:
    with pytest.raises(Fault, match="no disk"):
        await ask(served.path, "/broken")
    assert await ask(served.path, "/metrics") == "a 1\n"


async def test_silence_names_its_kind(tmp_path: Path) -> None:
    with pytest.raises(ControlSilent) as missing:
        await ask(tmp_path / "none.ctl", "/live")
    assert missing.value.why == "missing"

    dead = sockets.socket(sockets.AF_UNIX)
    dead.bind(str(tmp_path / "dead.ctl"))
    dead.close()
    with pytest.raises(ControlSilent) as refused:
        await ask(tmp_path / "dead.ctl", "/live")
    assert refused.value.why == "refused"

    deaf = sockets.socket(sockets.AF_UNIX)
    deaf.bind(str(tmp_path / "deaf.ctl"))
    deaf.listen()
    with deaf, pytest.raises(ControlSilent) as late:
        await ask(tmp_path / "deaf.ctl", "/live", deadline=0.05)
    assert late.value.why == "late"


async def test_a_socket_file_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    dead = sockets.socket(sockets.AF_UNIX)
    dead.bind(str(tmp_path / "x.ctl"))
    dead.close()
    server = ControlServer(tmp_path / "x.ctl", ROUTES)
    await server.start()
    assert await ask(server.path, "/live")
    await server.stop()
    assert not server.path.exists()


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    async def live(segment: str, body: bytes) -> Reply:
        return json_reply({"name": "x", "pid": 7})

    first = ControlServer(tmp_path / "x.ctl", {"GET /live": live})
    await first.start()
    with pytest.raises(Fault, match="CORE062"):
        await ControlServer(tmp_path / "x.ctl", ROUTES).start()
    assert (await ask(first.path, "/live"))["pid"] == 7
    await first.stop()


async def test_garbage_closes_one_connection_only(served: ControlServer) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.path))
    writer.write(b"\x00\xff nonsense\r\n\r\n")
    assert await asyncio.wait_for(reader.read(-1), 2) == b""
    writer.close()
    assert await ask(served.path, "/metrics") == "a 1\n"


def test_the_client_pulls_no_server_library() -> None:
    code = (
        "import sys, backstay.core.control; "
        "print([m for m in ('aiohttp','structlog','granian','prometheus_client','rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
