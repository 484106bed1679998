"""`codeai workflow` and `codeai job` as a person types them, against a real server."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.app.flow.stage import Stage

from backstay.app.flow.api import routes
from backstay.core.asgi import METRICS, App
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.metrics import Registry, RequestMeter
from backstay.core.server import HttpServer, Listen
from backstay.core.trust import Trust


class Typed(msgspec.Struct):
    code: int
    out: str
    err: str


class Shell:
    """A person's terminal beside a server on `port`."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def type(self, *words: str) -> Typed:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "backstay.cli.codeai",
            *words,
            "--base-url",
            f"http://127.0.0.1:{self.port}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        return Typed(child.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def shell(stage: Stage) -> AsyncIterator[Shell]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock = SystemClock()
    meter = RequestMeter(Registry(METRICS, clock))
    app = App("app", routes(stage.flow), Trust.loopback(), clock, Uuid7(clock), meter)
    server = HttpServer(app, Listen.parse(f"127.0.0.1:{port}"))
    await server.start()
    yield Shell(port)
    await server.drain(1.0)
    await server.stop()


async def test_an_execution_is_found_shown_and_run_again(stage: Stage, shell: Shell) -> None:
    stage.payments.faults.extend(["lost"] * 4)
    _, execution = await stage.order(await stage.product())
    await stage.ends()

    listed = await shell.type("workflow", "executions", "--status", "compensated")
    assert (listed.code, execution in listed.out) == (0, True)
    shown = await shell.type("workflow", "show", execution)
    assert "charge               call  unknown (outcome was unknown)" in shown.out
    again = await shell.type("workflow", "retry", execution, "--output", "json")
    assert json.loads(again.out)["status"] == "running"
    assert await stage.ends() == "completed"


async def test_refusals_have_their_words_and_exit_codes(stage: Stage, shell: Shell) -> None:
    _, execution = await stage.order(await stage.product())
    await stage.ends()

    refused = await shell.type("workflow", "retry", execution)
    assert refused.code == 1
    assert "nothing to run again" in refused.err
    shell.port = 1
    silent = await shell.type("job", "list")
    assert silent.code == 4
    assert "127.0.0.1:1 does not accept connections" in silent.err


async def test_a_wrong_word_is_answered_with_the_nearest_one(shell: Shell) -> None:
    typed = await shell.type("workflow", "retri", "x")
    assert typed.code == 2
    assert "Did you mean retry?" in typed.err


async def test_jobs_are_listed_and_run(stage: Stage, shell: Shell) -> None:
    await stage.quiet()
    ran = await shell.type("job", "run", "nightly_sales")
    assert ran.out.startswith("nightly_sales: run ")
    await stage.quiet()
    listed = await shell.type("job", "runs", "--status", "done")
    assert "nightly_sales" in listed.out


async def test_a_job_is_paused_and_resumed(stage: Stage, shell: Shell) -> None:
    await stage.quiet()
    assert (await shell.type("job", "pause", "nightly_sales")).out == "nightly_sales is paused\n"
    await stage.quiet()
    listed = (await shell.type("job", "list")).out
    assert "paused" in listed
    assert stage.all("SELECT 1 FROM job_runs WHERE status = 'pending'") == []
    assert (await shell.type("job", "resume", "nightly_sales")).out == "nightly_sales is active\n"
    await stage.quiet()
    assert "paused" not in (await shell.type("job", "list")).out
    assert len(stage.all("SELECT 1 FROM job_runs WHERE status = 'pending'")) == 1
    assert "APP205" in (await shell.type("job", "pause", "nope")).err
