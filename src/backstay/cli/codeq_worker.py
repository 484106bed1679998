"""`codeq worker start`: the SDK's worker around a program, or around nothing but a look."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import click

from backstay.cli.codeq_face import Given, client_of
from backstay.cli.codeq_program import run_program
from backstay.queue.worker import ANY, Job, Reject, Release, Retry, Worker, WorkerSettings


def serve(
    given: Given,
    events: Sequence[str],
    program: str,
    ack: str,
    nack_delay: float,
    settings: WorkerSettings,
) -> None:
    """Until SIGTERM or SIGINT; then finish what runs. Raises what the first question is refused
    with."""
    logging.addLevelName(logging.WARNING, "WARN")
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(message)s")
    worker = Worker(lambda: client_of(given), settings)

    async def run(_payload: Any, job: Job) -> Any:
        click.echo(f"[OK] Task claimed: {job.id} ({job.command})")
        if not program:
            return _acknowledge(ack, nack_delay, job)
        try:
            result = await run_program(program, job)
        except (Reject, Release, Retry) as why:
            click.echo(f"[WARN] Task not completed: {job.id} ({str(why) or 'handed back'})")
            raise
        click.echo(f"[OK] Task completed: {job.id}")
        return result

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
