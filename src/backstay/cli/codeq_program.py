"""A program per task: payload on standard input, result on standard output, any language.

Exit codes (docs/how-to/write-a-worker.md): 0 done, 65 failed for good, 75 handed back uncounted
(both as `sysexits.h` names them), anything else tried again.
"""

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

import msgspec

from backstay.queue.worker import Job, Reject, Release, Retry
from backstay.up.spawn import die_with_parent

BAD_DATA, TRY_LATER = 65, 75
_TAIL = 500


async def run_program(program: str, job: Job) -> Any:
    """What it printed. Raises Reject, Release or Retry by its exit code; kills it, and what it has
    started, when cancelled."""
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **_environment(job)},
        # A group of its own: Ctrl-C is for the worker, which lets the program finish.
        process_group=0,
        preexec_fn=die_with_parent(),
    )
    try:
        printed, complained = await child.communicate(job.task.payload.encode())
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(child.pid, signal.SIGKILL)
        raise
    if child.returncode:
        _judge(child.returncode, complained.decode(errors="replace").strip()[-_TAIL:])
    return _result(printed)


def _judge(code: int, last: str) -> None:
    if code == TRY_LATER:
        raise Release
    said = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    reason = f"{said}: {last}" if last else said
    if code == BAD_DATA:
        raise Reject(last or said)
    raise Retry(reason)


def _environment(job: Job) -> dict[str, str]:
    found = {
        "CODEQ_TASK_ID": job.id,
        "CODEQ_TASK_COMMAND": job.command,
        "CODEQ_TASK_ATTEMPT": str(job.attempt),
        "CODEQ_TASK_MAX_ATTEMPTS": str(job.max_attempts),
        "CODEQ_REQUEST_ID": job.request_id,
    }
    return {**found, "TRACEPARENT": job.traceparent} if job.traceparent else found


def _result(printed: bytes) -> Any:
    """The JSON that was printed, or the text as it is."""
    if not printed.strip():
        return None
    try:
        return msgspec.json.decode(printed)
    except msgspec.DecodeError:
        return {"output": printed.decode(errors="replace")}
