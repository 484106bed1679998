"""Workers and tasks that do not come together: what holds a queue back."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import seen
from backstay.queue.guides.looking import NOTHING, inside, numbers

_IDLE = r"worker.*(never|not|no longer|idle).*|not claiming|never claims|claims? nothing|204"
_LATE = r"(task|queue|job)s?\b.*(late|delay|slow|behind|too long)|not processed quickly"
_MEANT = ("put-off", "leased", "empty")
"""What queues are for: it explains a complaint about this queue, and where nothing was ever
delivered; elsewhere it is everyday life."""
_WAITS = 2.0
"""Seconds a ready task has waited when it is late, for somebody who complains about it."""


def _held_probe(ident: str, asks: str, complaint: str, readings: Sequence[str]) -> Probe:
    """Speaks when the user complains: a queue that is paused or put off is meant to be."""

    async def run(target: Target) -> Evidence:
        if not re.search(complaint, target.text, re.IGNORECASE):
            return seen(ident, NOTHING, "skip")
        found = await inside(ident, target, "/probe/queue.commands")
        if isinstance(found, Evidence):
            return found
        policies = await inside(ident, target, "/probe/queue.policies")
        if isinstance(policies, Evidence):
            return policies
        commands = found.get("commands") or {}
        named = [name for name in commands if re.search(rf"\b{re.escape(name)}\b", target.text)]
        counted = await numbers(ident, target)
        if isinstance(counted, Evidence):
            return counted
        everyday = not named and counted.total("codeq_task_claimed_total") > 0
        for name in named or sorted(commands):
            reading = _holds(name, commands, policies.get("policies") or {})
            if reading in readings and not (everyday and reading in _MEANT):
                return seen(ident, reading, "fail", found, **_facts(name, commands, target))
        return seen(ident, NOTHING, "pass", found)

    return Probe(ident, asks, "inside", (NOTHING, *readings), run)


def _facts(name: str, commands: Mapping[str, Any], target: Target) -> dict[str, Plain]:
    counts = {kind: commands[name].get(kind) for kind in ("ready", "delayed", "in_progress")}
    asked_for = ", ".join(_asked_for(commands))
    return {"command": name, "data": str(target.data), "asked_for": asked_for, **counts}


def _holds(name: str, commands: Mapping[str, Any], policies: Mapping[str, Any]) -> str:
    """What keeps the tasks of a command from workers; `none` when nothing does."""
    one, policy = commands[name], policies.get(name) or {}
    busy = one.get("in_progress", 0)
    if one.get("ready"):
        if policy.get("paused"):
            return "paused"
        if _bound(policy, busy):
            return "bounded"
        if _asked_for(commands) and not _asks(one):
            return "other-command"
        late = one.get("oldest_ready_age", 0) > _WAITS
        return "behind" if late and busy and not one.get("waiting_claims") else NOTHING
    if one.get("delayed"):
        return "put-off"
    if busy:
        return "leased"
    return "empty" if _asks(one) else NOTHING


def _bound(policy: Mapping[str, Any], busy: float) -> bool:
    """Whether a bound may be what holds its tasks back. Of keys it is not known which are busy."""
    bounds = [policy.get(name) for name in ("concurrency", "key_concurrency")]
    full = any(bound and busy >= bound for bound in bounds)
    return full or bool(policy.get("rate") or policy.get("key_rate"))


def _asks(one: Mapping[str, Any]) -> bool:
    return bool(one.get("waiting_claims")) or 0 <= one.get("last_claim_age", -1) < 60


def _asked_for(commands: Mapping[str, Any]) -> list[str]:
    return [name for name, one in sorted(commands.items()) if _asks(one)]


_INSPECT = Fix("inspect", "See what waits", "codeq queue inspect {command}", "none")
_RESUME = Fix("resume", "Let it go on", "codeq queue resume {command}", "none")
_BOUNDS = Fix("bounds", "See its bounds", "codeq queue policy {command}", "none")
_UNBOUND = Fix(
    "unbound",
    "Lift them, or give higher ones than 0, which is none",
    "codeq queue policy {command} --concurrency 0 --rate 0 --key-concurrency 0 --key-rate 0",
    "none",
)


def _cause(id: str, says: str, probe: str, reading: str, *fixes: str) -> Cause:
    expects: dict[str, Mapping[str, float]] = {probe: {reading: 0.97}}
    if reading in ("paused", "other-command"):
        # Nobody asks for such tasks, and that is no second trouble.
        expects["queue.commands"] = {"unserved": 0.5, "left": 0.4}
    return Cause(id, says, 0.05, expects, fixes)


WORKER_IDLE = Guide(
    id="worker-gets-nothing",
    title="A worker runs and gets no tasks",
    seed="codeq: Worker Not Claiming Tasks",
    symptoms=(Symptom("text", _IDLE, "a worker gets nothing"),),
    probes=(
        _held_probe(
            "queue.held",
            "what keeps the tasks from those who ask",
            _IDLE,
            ("other-command", "paused", "bounded", "put-off", "leased", "empty"),
        ),
    ),
    causes=(
        _cause(
            "other-command",
            "workers ask for {asked_for}, and {ready} tasks of {command} wait",
            "queue.held",
            "other-command",
            "events",
        ),
        _cause("queue-paused", "the queue {command} is paused", "queue.held", "paused", "resume"),
        _cause(
            "queue-bounded",
            "{command} is at its bound: {in_progress} in progress",
            "queue.held",
            "bounded",
            "bounds",
            "unbound",
        ),
        _cause(
            "tasks-put-off",
            "the {delayed} tasks of {command} are not due yet",
            "queue.held",
            "put-off",
            "inspect",
        ),
        _cause(
            "tasks-leased",
            "other workers hold the {in_progress} tasks of {command}",
            "queue.held",
            "leased",
            "inspect",
        ),
        _cause("no-tasks", "there is no task of {command}", "queue.held", "empty", "inspect"),
    ),
    fixes=(
        Fix("events", "Ask for the right command", "codeq worker start --events {command}", "none"),
        _RESUME,
        _BOUNDS,
        _UNBOUND,
        _INSPECT,
    ),
    escalation="what the token may claim: codeq auth show (scope codeq:claim, eventTypes)",
)

TASKS_LATE = Guide(
    id="tasks-late",
    title="Tasks are done too late",
    seed="codeq: Task Delays",
    symptoms=(
        Symptom("text", _LATE, "late tasks"),
        Symptom("metric", "codeq_oldest_ready_age_seconds>600", "tasks grow old"),
    ),
    probes=(
        _held_probe(
            "queue.late",
            "what makes the tasks wait",
            _LATE,
            ("behind", "bounded", "paused", "put-off"),
        ),
    ),
    causes=(
        _cause(
            "too-few-workers",
            "workers are busy with {in_progress} tasks of {command} and {ready} wait",
            "queue.late",
            "behind",
            "more",
            "priority",
        ),
        _cause(
            "bounds-delay",
            "a bound of the queue {command} holds {ready} tasks back",
            "queue.late",
            "bounded",
            "bounds",
            "unbound",
        ),
        _cause("pause-delays", "the queue {command} is paused", "queue.late", "paused", "resume"),
        _cause(
            "backoff-delays",
            "{delayed} tasks of {command} wait for their time: put off, or for the next try",
            "queue.late",
            "put-off",
            "retry",
            "inspect",
        ),
    ),
    fixes=(
        Fix("more", "Start more", "codeq worker start --events {command} --concurrency 20", "none"),
        Fix("priority", "9 is served first, 0 last", "codeq task create --priority 9", "none"),
        Fix("retry", "Do one now", "codeq task retry ID", "none"),
        _RESUME,
        _BOUNDS,
        _UNBOUND,
        _INSPECT,
    ),
    escalation="codeq_task_wait_seconds tells waiting from working",
)
