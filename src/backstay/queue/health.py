"""Whether the store works, by a real write; and what the doctor may ask of the queue."""

import asyncio
import os
import shutil
from typing import Any

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.health import Check, Finding
from backstay.queue.loops.callbacks import Callbacks
from backstay.queue.service import Queue
from backstay.queue.settings import QueueSettings
from backstay.queue.store import Engine, ServedEngine

_DEADLINE = 2.0
_FRESH = 1.0
_COUNTED = 1000


class StoreHealth:
    """Asked by the board every few seconds and by `/healthz`; one write at a time at most."""

    def __init__(self, engine: ServedEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._at = float("-inf")
        self._finding = Finding("unknown", error="not checked yet")
        self._asking: asyncio.Task[Finding] | None = None

    def check(self) -> Check:
        return Check("store", critical=True, deadline=_DEADLINE + 1, every=5.0, run=self.finding)

    @property
    def last(self) -> Finding:
        """The last answer, without asking."""
        return self._finding

    async def finding(self) -> Finding:
        """At most a second old; asked anew otherwise."""
        if self._clock.tick() - self._at < _FRESH:
            return self._finding
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Finding:
        facts: dict[str, Any] = {"path": self._engine.where}
        try:
            await asyncio.wait_for(self._engine.touch(), _DEADLINE)
            found = Finding("pass", facts)
            doubts = self._engine.doubts()
            if doubts:
                found = Finding("warn", {**facts, "doubts": list(doubts)}, "; ".join(doubts))
        except TimeoutError:
            found = Finding(
                "fail",
                {**facts, "mute": True},
                f"{self._engine.where} gave no answer to a write within {_DEADLINE:g} s",
            )
        except Fault as fault:
            facts |= {name: str(fault.values.get(name, "")) for name in ("reason", "address")}
            facts["code"] = fault.entry.code
            found = Finding("fail", facts, fault.message)
        except Exception as failure:  # noqa: BLE001 - a broken check is a finding
            found = Finding("fail", facts, f"{type(failure).__name__}: {failure}")
        self._finding, self._at = found, self._clock.tick()
        return found


async def commands_probe(queue: Queue, engine: ServedEngine, clock: Clock) -> dict[str, Any]:
    """Per command over all tenants: depths, ages in seconds (-1: never), waiting claims."""
    now = clock.now()
    polled = engine.polled()
    found: dict[str, dict[str, Any]] = {}
    for command in queue.waited_for() | set(polled) - {""}:
        found[command] = _blank()
    for stats in await queue.stats(None):
        seen = found.setdefault(stats.command, _blank())
        seen["ready"] += stats.ready
        seen["delayed"] += stats.delayed
        seen["in_progress"] += stats.in_progress
        seen["dead"] += stats.dead
        if stats.oldest_ready_at:
            age = max(0.0, now - stats.oldest_ready_at)
            seen["oldest_ready_age"] = max(seen["oldest_ready_age"], age)
    for command, seen in found.items():
        waiting = queue.waiting(command)
        # Who waits is asking now.
        last = now if waiting else max(polled.get(command, 0.0), polled.get("", 0.0))
        seen["last_claim_age"] = max(0.0, now - last) if last else -1.0
        seen["waiting_claims"] = waiting
    return {"commands": found}


def _blank() -> dict[str, Any]:
    return {"ready": 0, "delayed": 0, "in_progress": 0, "dead": 0, "oldest_ready_age": -1.0}


async def store_probe(health: StoreHealth, settings: QueueSettings) -> dict[str, Any]:
    """Where the store is, whether a real write worked, what room is left (-1: it is not here)."""
    finding = await health.finding()
    here = not settings.redis_addr
    folder = settings.store.parent
    try:
        free = shutil.disk_usage(folder).free if here else -1
    except OSError:
        free = -1
    failed = finding.outcome not in ("pass", "warn")
    return {
        "path": finding.facts.get("path", ""),
        "writable": not failed,
        "error": finding.error if failed else "",
        "code": finding.facts.get("code", ""),
        "reason": finding.facts.get("reason", ""),
        "address": finding.facts.get("address", ""),
        "mute": finding.facts.get("mute", False),
        "doubts": finding.facts.get("doubts", []),
        "free_bytes": free,
        "folder_writable": os.access(folder, os.W_OK) if here else True,
    }


async def policies_probe(engine: Engine) -> dict[str, Any]:
    """Per command what bounds it, the tightest over all tenants: paused, concurrency and rate, of
    the queue and of one key."""
    found: dict[str, dict[str, Any]] = {}
    for policy in await engine.policies(None):
        seen = found.setdefault(policy.command, {"paused": False})
        seen["paused"] = seen["paused"] or policy.paused
        for name in ("concurrency", "rate", "key_concurrency", "key_rate"):
            bounds = (seen.get(name, 0), getattr(policy, name))
            seen[name] = min(filter(None, bounds), default=0)
    return {"policies": found}


async def audit_probe(engine: Engine) -> dict[str, Any]:
    """What contradicts itself in the store: how many entries, and the first ten. Reads all of it,
    so it is asked only on a person's word."""
    found = await engine.audit(repair=False)
    shown = [{"kind": one.kind, "id": one.id, "says": one.says} for one in found[:10]]
    return {"count": len(found), "found": shown}


def callbacks_check(callbacks: Callbacks, engine: Engine) -> Check:
    """Warns while a receiver of result callbacks is spared because it does not answer. What was
    given up is told, too, but makes nobody sick: it waits for a person."""

    async def finding() -> Finding:
        facts = await callbacks_probe(callbacks, engine)
        hosts = facts["spared"]
        if not hosts:
            return Finding("pass", facts)
        return Finding("warn", facts, "receivers that do not answer: " + ", ".join(hosts))

    return Check("callbacks", critical=False, deadline=_DEADLINE, every=10.0, run=finding)


async def callbacks_probe(callbacks: Callbacks, engine: Engine) -> dict[str, Any]:
    """How many result callbacks wait and were given up (counted to 1,000), and which hosts are
    spared."""
    waiting = await engine.deliveries(None, given_up=False, limit=_COUNTED)
    given_up = await engine.deliveries(None, given_up=True, limit=_COUNTED)
    return {
        "waiting": len(waiting),
        "given_up": len(given_up),
        "last_error": given_up[-1].error if given_up else "",
        "spared": callbacks.lanes.spared(),
    }
