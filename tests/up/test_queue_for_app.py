"""The adapter against a real codeq-server: sent once, answered at least once, forgotten when acked."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from backstay.app.ports import OutsideCall, TaskQueue
from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault
from backstay.queue.api.wire import TaskView
from backstay.queue.client import QueueClient
from backstay.up.queue_for_app import QueueForApp

SERVER = (sys.executable, "-m", "backstay.cli.codeq_server")


@pytest.fixture
async def socket() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "q.sock"
        server = subprocess.Popen(
            [*SERVER, "--listen", f"unix:{path}", "--data", folder],
            env={**os.environ, "BACKSTAY_RUNTIME": folder},
            stdout=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(15):
                while True:
                    with suppress(ControlSilent):
                        if (await ask(Path(folder) / "queue.ctl", "/live"))["ready"]:
                            break
                    await asyncio.sleep(0.02)
            yield path
        finally:
            server.kill()
            server.wait()


@pytest.fixture
async def queue(socket: Path) -> AsyncIterator[QueueForApp]:
    adapter = QueueForApp(QueueClient(f"unix:{socket}"))
    yield adapter
    await adapter.close()


async def work(socket: Path, error: str = "", **result: object) -> TaskView:
    """What an outside worker does: claim one task and end it."""
    client = QueueClient(f"unix:{socket}")
    task = await client.claim_task(["PACK"], wait=5)
    assert task is not None
    if error:
        await client.submit_result(task.id, task.lease_token, error=error)
    else:
        await client.submit_result(task.id, task.lease_token, result)
    await client.close()
    return task


def call(key: str, command: str = "PACK", payload: str = '{"order":1}') -> OutsideCall:
    return OutsideCall(key=key, command=command, payload=payload, expires_at=0)


def test_it_is_what_the_app_asks_for() -> None:
    wanted: type[TaskQueue] = QueueForApp
    assert wanted is QueueForApp


async def test_a_call_is_worked_once_and_its_outcome_stays_until_acked(queue, socket) -> None:
    await queue.send([call("e/pack/1")])
    await queue.send([call("e/pack/1")])
    task = await work(socket, parcel="P7")
    assert json.loads(task.payload) == {"order": 1}
    assert task.max_attempts == 1
    for _ in range(2):
        [outcome] = await queue.outcomes(5)
        assert (outcome.key, outcome.ok) == ("e/pack/1", True)
        assert json.loads(outcome.output) == {"parcel": "P7"}
    await queue.ack(["e/pack/1"])
    assert await queue.outcomes(0) == []


async def test_a_failed_result_is_a_failed_outcome(queue, socket) -> None:
    await queue.send([call("e/pack/1")])
    await work(socket, "no box")
    [outcome] = await queue.outcomes(5)
    assert (outcome.ok, outcome.error) == (False, "no box")


async def test_an_outcome_survives_a_new_adapter(queue, socket) -> None:
    await queue.send([call("e/pack/1")])
    await work(socket)
    other = QueueForApp(QueueClient(f"unix:{socket}"))
    assert [each.key for each in await other.outcomes(5)] == ["e/pack/1"]
    await other.ack(["e/pack/1"])
    assert await queue.outcomes(0) == []
    await other.close()


async def test_a_call_that_can_never_be_taken_fails_at_once(queue) -> None:
    waiting = asyncio.ensure_future(queue.outcomes(10))
    await asyncio.sleep(0)
    await queue.send([call("e/bad/1", command="no, command"), call("e/pack/1")])
    [outcome] = await asyncio.wait_for(waiting, 3)
    assert (outcome.key, outcome.ok) == ("e/bad/1", False)
    assert "command" in outcome.error
    await queue.ack(["e/bad/1"])
    assert await queue.outcomes(0) == []


async def test_a_cancelled_call_is_not_handed_out(queue, socket) -> None:
    await queue.send([call("e/pack/1"), call("e/pack/2")])
    await queue.cancel(["e/pack/1", "never-sent"])
    task = await work(socket)
    keys = {outcome.key: outcome.ok for outcome in await queue.outcomes(5)}
    assert task.id
    assert keys["e/pack/2"] is True
    assert keys.get("e/pack/1") in (None, False)


async def test_a_queue_that_is_gone_is_a_fault_to_try_again(tmp_path: Path) -> None:
    queue = QueueForApp(QueueClient(f"unix:{tmp_path}/none.sock"))
    with pytest.raises(Fault) as caught:
        await queue.send([call("e/pack/1")])
    assert caught.value.entry.retryable
    await queue.close()


async def test_the_more_urgent_call_is_worked_on_first(queue: QueueForApp, socket: Path) -> None:
    """`queue: critical` of a job reaches the worker that both wait for."""
    low, usual, urgent = (
        OutsideCall("e/low/1", "PACK", "{}", 0, priority=1),
        call("e/usual/1"),
        OutsideCall("e/urgent/1", "PACK", "{}", 0, priority=6),
    )
    await queue.send([low, usual, urgent])
    assert [(await work(socket)).priority for _ in range(3)] == [6, 3, 1]
