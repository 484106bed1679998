"""`codeq worker start`: the SDK's worker around a program, or around nothing but a look."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from backstay.queue.client import QueueClient
from backstay.queue.worker import ANY, Job, Release, Retry, Worker, WorkerSettings

_TAIL = 500


def serve(
    connect: Callable[[], QueueClient],
    events: Sequence[str],
    program: str,
    ack: str,
    nack_delay: float,
    settings: WorkerSettings,
) -> None:
    """Until SIGTERM or SIGINT; then finish what runs."""
    worker = Worker(connect, settings)

    async def run(payload: Any, job: Job) -> dict[str, Any]:
        click.echo(f"[OK] Task claimed: {job.id} ({job.command})")
        if program:
            return await _execute(program, payload, job)
        return _acknowledge(ack, nack_delay, job)

    for event in events or (ANY,):
        worker.task(event)(run)
    what = ", ".join(events) or "any command"
    click.echo(f"[INFO] Worker connected. Listening... ({what})")
    if not program and ack == "abandon":
        click.echo("[INFO] No --exec: tasks are shown and handed back.")
    worker.run()
    click.echo("[WARN] Stopped.")


def _acknowledge(ack: str, nack_delay: float, job: Job) -> dict[str, Any]:
    if ack == "abandon":
        raise Release
    if ack == "nack":
        raise Retry("nacked by codeq worker start --ack nack", nack_delay)
    return {"handledBy": f"codeq worker {os.getpid()}", "task": job.id}


async def _execute(program: str, payload: Any, job: Job) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "CODEQ_TASK_ID": job.id,
            "CODEQ_TASK_COMMAND": job.command,
            "CODEQ_TASK_ATTEMPT": str(job.attempt),
        },
        # Ctrl-C is for the worker, which lets the program finish.
        start_new_session=True,
    )
    try:
        printed, complained = await child.communicate(msgspec.json.encode(payload))
    except asyncio.CancelledError:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
        raise
    if child.returncode:
        last = complained.decode(errors="replace").strip()[-_TAIL:]
        raise Retry(f"exit code {child.returncode}: {last}")
    return _result(printed)


def _result(printed: bytes) -> dict[str, Any]:
    """The JSON object that was printed, or the text as it is."""
    try:
        value = msgspec.json.decode(printed)
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {"output": printed.decode(errors="replace")}
