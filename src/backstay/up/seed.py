"""Seed data: a command's JSON lines, given once to the app of a new data folder."""

import asyncio
import hashlib
import http.client
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.core.runtime import write_atomically
from backstay.up.errors import SEED_FAILED, SEED_REFUSED
from backstay.up.http import post_unix
from backstay.up.plan import Plan
from backstay.up.spawn import die_with_parent

ROUTE = "/api/v1/admin/seed"
_SECONDS = 60.0
_SHOWN = 400


class Seed(msgspec.Struct, frozen=True):
    """Lines of `{"entity", "values"}`; the id is that of the bytes, so the same is taken once."""

    body: bytes

    @property
    def id(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


def is_wanted(plan: Plan) -> bool:
    """Whether there is a seed that this data folder has not had."""
    return bool(plan.seed) and not _marker(plan).exists()


async def make(plan: Plan) -> Seed:
    """Run the seed command. Raises UP008 when it fails."""
    command = " ".join(plan.seed)
    try:
        process = await asyncio.create_subprocess_exec(
            *plan.seed,
            cwd=plan.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
        except BaseException:
            process.kill()
            raise
    except OSError as failed:
        reason = failed.strerror or str(failed)
        raise Fault(SEED_FAILED, command=command, code=127, reason=reason) from failed
    except TimeoutError as late:
        reason = f"not done within {_SECONDS:.0f} s"
        raise Fault(SEED_FAILED, command=command, code=-9, reason=reason) from late
    if process.returncode:
        last = err.decode(errors="replace").strip()[-_SHOWN:] or "it printed no reason"
        raise Fault(SEED_FAILED, command=command, code=process.returncode, reason=last)
    return Seed(out)


async def give(plan: Plan, seed: Seed, now: str) -> int:
    """Hand the seed to the app; gives how many rows were stored (0: it had them). Or UP009."""
    headers = {"Content-Type": "application/x-ndjson", "X-Seed-Id": seed.id}
    socket = plan.runtime / "app.sock"
    try:
        status, body = await asyncio.to_thread(
            post_unix, socket, ROUTE, seed.body, headers, _SECONDS
        )
    except (OSError, http.client.HTTPException) as failed:
        raise Fault(SEED_REFUSED, status=0, reason=f"{socket}: {failed}") from failed
    answer = _decoded(body)
    if status >= HTTPStatus.BAD_REQUEST:
        reason = str(answer.get("detail") or answer.get("error") or body[:_SHOWN].decode())
        raise Fault(SEED_REFUSED, status=status, reason=reason)
    marker = {"id": seed.id, "at": now, "command": " ".join(plan.seed)}
    write_atomically(_marker(plan), msgspec.json.encode(marker))
    return int(answer.get("seeded", 0))


def _marker(plan: Plan) -> Path:
    return plan.data / "seeded.json"


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
