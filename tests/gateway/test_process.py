"""`backstay gateway` as a person runs it: a process of its own, signals, exit codes, commands."""

import asyncio
import json
import os
import signal
import socket
import sys

import aiohttp
import pytest


async def connect(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def accepts(port):
    try:
        _, writer = await connect(port)
    except ConnectionError:
        return False
    writer.close()
    return True


async def test_sigterm_answers_what_is_under_way_and_exits_0(serve, command, eventually):
    release = asyncio.Event()

    async def held(call):
        await release.wait()
        await call.answer(b"done")

    server = await serve(held)
    process = await command.serve(GATEWAY_UPSTREAMS=command.table(server))
    reader, writer = await connect(command.port)
    writer.write(b"GET /u HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await eventually(lambda: server.calls)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        while await accepts(command.port):
            await asyncio.sleep(0.01)
    release.set()
    async with asyncio.timeout(5):
        assert (await reader.read()).endswith(b"done")
        rest, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    lines = [json.loads(line) for line in rest.splitlines()]
    served = [line for line in lines if line.get("path") == "/u"]
    assert [line["status"] for line in served] == [200]
    writer.close()


async def test_a_taken_port_is_a_fault_with_its_code_and_exit_4(command):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", command.port))
        holder.listen()
        code, _, errors = await command.run(
            "serve", "--listen", f"127.0.0.1:{command.port}", "--data", "d"
        )
    assert code == 4
    assert "GATE001" in errors
    assert f"(pid {os.getpid()})" in errors
    assert str(command.port) in errors
    assert "Traceback" not in errors


async def test_an_outside_address_without_a_secret_is_refused_at_start(command):
    code, _, errors = await command.run("serve", "--listen", "0.0.0.0:0", "--data", "d")
    assert (code, "CORE012" in errors) == (2, True)


async def test_a_broken_table_is_refused_at_start(command):
    code, _, errors = await command.run("serve", GATEWAY_UPSTREAMS='[{"nam": "x"}]')
    assert (code, "GATE002" in errors) == (2, True)


async def test_without_a_table_the_sockets_of_the_runtime_folder_are_served(folder, command):
    process = await command.serve()
    code, out, _ = await command.run("routes", *command.url(), "-o", "json")
    assert code == 0
    found = {
        (route["prefix"], route["upstream"], route["kind"]) for route in json.loads(out)["routes"]
    }
    assert found == {
        ("/v1/codeq", "queue", "unary"),
        ("/v1/codeq/tasks/claim", "queue", "long"),
        ("/v1/codeq/tasks/{id}/result", "queue", "long"),
        ("/v1/codeq/replies", "queue", "long"),
        ("/api/v1", "app", "unary"),
        ("/api/v1/admin", "app", "unary"),
        ("/intent", "patchgen", "unary"),
    }
    reader, writer = await connect(command.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    body = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    assert body["checks"]["queue"]["status"] in ("skipped", "unknown")
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    writer.close()


@pytest.mark.parametrize("opened", [False, True])
async def test_where_others_reach_the_gateway_its_metrics_are_for_admins_unless_they_are_opened(
    command, opened
):
    # Only this machine reaches it, but the gateway does not take it for an address of that kind.
    url = f"http://127.0.0.2:{command.port}/metrics"
    env = {"JWT_SECRET": "a secret of at least thirty-two bytes"}
    more = {"METRICS_OPEN": "true"} if opened else {}
    listen = ("--listen", f"127.0.0.2:{command.port}")
    process = await command.serve(*listen, GATEWAY_UPSTREAMS="[]", **env, **more)
    bearer = {"Authorization": f"Bearer {await _token(command, **env)}"}
    async with aiohttp.ClientSession() as client:
        statuses = [(await client.get(url, headers=given)).status for given in ({}, bearer)]
    assert statuses == [200 if opened else 401, 200]
    await command.stop(process)


@pytest.mark.seed("G11")
async def test_breakers_are_seen_and_reset_from_the_command_line_and_by_restart(serve, command):
    async def bad(call):
        await call.answer(b"", status=503)

    server = await serve(bad)
    secret = {"JWT_SECRET": "a secret of at least thirty-two bytes"}
    process = await command.serve(GATEWAY_UPSTREAMS=command.table(server), **secret)
    reader, writer = await connect(command.port)
    writer.write(b"GET /u HTTP/1.1\r\nHost: localhost\r\n\r\n" * 6)
    seen = b""
    while seen.count(b"HTTP/1.1 503") < 6 or b"GATE014" not in seen:
        seen += await reader.read(65536)
    writer.close()
    assert len(server.calls) == 5
    code, out, _ = await command.run("breakers", *command.url())
    assert (code, "open" in out.split()) == (1, True)
    code, _, errors = await command.run("reset", "up", *command.url())
    assert (code, "AUTH005" in errors) == (3, True)
    token = await _token(command, **secret)
    code, out, _ = await command.run("reset", "up", *command.url(), "--token", token)
    assert (code, out) == (0, "up: closed\n")
    assert (await command.run("breakers", *command.url()))[0] == 0
    metrics = (await command.ask("GET", "/metrics")).body.decode()
    assert 'gateway_breaker_state{system="gateway",upstream="up"} 0' in metrics
    for to in ("open", "closed"):
        assert f'changes_total{{system="gateway",upstream="up",to="{to}"}} 1' in metrics
    lines = await command.stop(process)
    changes = [line for line in lines if line["msg"] == "circuit breaker state changed"]
    assert [(line["from"], line["to"]) for line in changes] == [
        ("closed", "open"),
        ("open", "closed"),
    ]
    again = await command.serve(GATEWAY_UPSTREAMS=command.table(server), **secret)
    assert (await command.run("breakers", *command.url()))[0] == 0
    await command.stop(again)


async def test_commands_say_when_nobody_answers(command):
    for words in (("breakers",), ("routes",), ("reset", "up")):
        code, _, errors = await command.run(*words, *command.url())
        assert (code, "GATE027" in errors) == (4, True)


async def _token(command, **env):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backstay.cli.backstay", "token", "--scope", "admin"),
        env=command.env | env,
        cwd=command.folder,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().strip()
