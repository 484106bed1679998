"""Workers and tasks that do not come together: what holds a queue back, leases that end, tasks that
fail again and again."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen
from backstay.queue.guides.looking import NOTHING, numbers, settings

_IDLE = r"worker.*(never|not|no longer|idle).*|not claiming|never claims|claims? nothing|204"
_LATE = r"(task|queue|job)s?\b.*(late|delay|slow|behind|too long)|not processed quickly"
_WAITS = 2.0
"""Seconds a ready task has waited when it is late, for somebody who complains about it."""
_MOST_LOST = 0.1
_FEWEST_LOST = 3
_FEWEST_NACKS = 5
_SHORT_BACKOFF = 1.0


def _held_probe(ident: str, asks: str, complaint: str, readings: Sequence[str]) -> Probe:
    """Speaks when the user complains: a queue that is paused or put off is meant to be."""

    async def run(target: Target) -> Evidence:
        if not re.search(complaint, target.text, re.IGNORECASE):
            return seen(ident, NOTHING, "skip")
        found = await look_inside(ident, target, "queue", "/probe/queue.commands")
        if isinstance(found, Evidence):
            return found
        policies = await look_inside(ident, target, "queue", "/probe/queue.policies")
        if isinstance(policies, Evidence):
            return policies
        commands = found.get("commands") or {}
        named = [name for name in commands if re.search(rf"\b{re.escape(name)}\b", target.text)]
        for name in named or sorted(commands):
            reading = _holds(name, commands, policies.get("policies") or {})
            if reading in readings:
                facts: dict[str, Plain] = {"command": name, "data": str(target.data)}
                facts |= {kind: commands[name].get(kind) for kind in ("ready", "delayed")}
                facts |= {"in_progress": commands[name].get("in_progress")}
                facts["asked_for"] = ", ".join(_asked_for(commands))
                return seen(ident, reading, "fail", found, **facts)
        return seen(ident, NOTHING, "pass", found)

    return Probe(ident, asks, "inside", (NOTHING, *readings), run)


def _holds(name: str, commands: Mapping[str, Any], policies: Mapping[str, Any]) -> str:
    """What keeps the tasks of a command from workers; `none` when nothing does."""
    one, policy = commands[name], policies.get(name) or {}
    busy = one.get("in_progress", 0)
    if one.get("ready"):
        if policy.get("paused"):
            return "paused"
        bound = policy.get("concurrency", 0)
        if (bound and busy >= bound) or policy.get("rate"):
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


def _asks(one: Mapping[str, Any]) -> bool:
    return bool(one.get("waiting_claims")) or 0 <= one.get("last_claim_age", -1) < 60


def _asked_for(commands: Mapping[str, Any]) -> list[str]:
    return [name for name, one in sorted(commands.items()) if _asks(one)]


async def _look_at_leases(target: Target) -> Evidence:
    """Since the server started: how many leases ended, and whether results came too late."""
    found = await numbers("queue.leases", target)
    if isinstance(found, Evidence):
        return found
    lost = found.by("command", "codeq_lease_expired_total")
    given = found.by("command", "codeq_task_claimed_total")
    for command, count in sorted(lost.items(), key=lambda one: -one[1]):
        if count < _FEWEST_LOST or count < _MOST_LOST * given.get(command, 0):
            continue
        late = found.answers("/tasks/{id}/result", "403", "409")
        late += found.answers("/tasks/{id}/heartbeat", "403", "409")
        facts: dict[str, Plain] = {
            "command": command,
            "lost": int(count),
            "deliveries": int(given.get(command, 0)),
            "late": int(late),
            "heartbeats": int(found.answers("/tasks/{id}/heartbeat", "200")),
        }
        return seen("queue.leases", "late" if late else "lost", "fail", facts, **facts)
    return seen("queue.leases", "kept", "pass")


async def _look_at_retries(target: Target) -> Evidence:
    """Deliveries that are given back, compared with those that end."""
    found = await numbers("queue.retries", target)
    if isinstance(found, Evidence):
        return found
    known = await settings("queue.retries", target)
    if isinstance(known, Evidence):
        return known
    base = float(str(known.get("backoff_base_seconds") or 0))
    back = found.by("command", "codeq_task_requeued_total", how="nack")
    done = found.by("command", "codeq_task_completed_total")
    dead = found.by("command", "codeq_dlq_depth")
    facts: dict[str, Plain] = {"backoff": base, "attempts": known.get("max_attempts_default")}
    for command, count in sorted(back.items(), key=lambda one: -one[1]):
        if count >= _FEWEST_NACKS and count > done.get(command, 0):
            facts |= {"command": command, "nacks": int(count), "dead": int(dead.get(command, 0))}
            reading = "tight-loop" if base < _SHORT_BACKOFF else "loop"
            return seen("queue.retries", reading, "fail", facts, **facts)
    for command, count in sorted(dead.items(), key=lambda one: -one[1]):
        if count > 0:
            facts |= {"command": command, "dead": int(count)}
            return seen("queue.retries", "dead", "fail", facts, **facts)
    return seen("queue.retries", "few", "pass")


_INSPECT = Fix("inspect", "See what waits", "codeq queue inspect {command}", "none")
_BOUND = Fix(
    "unbound",
    "Let it go on, or raise its bounds",
    "codeq queue resume {command}",
    "none",
)


def _cause(id: str, says: str, probe: str, reading: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {probe: {reading: 0.97}}, fixes)


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
        _cause("queue-paused", "the queue {command} is paused", "queue.held", "paused", "unbound"),
        _cause(
            "queue-bounded",
            "{command} is at its bound: {in_progress} in progress",
            "queue.held",
            "bounded",
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
        _BOUND,
        _INSPECT,
    ),
    escalation="what the token may claim: codeq auth show (scope codeq:claim, eventTypes)",
)

LEASES = Guide(
    id="lease-expired",
    title="Tasks are given to others while a worker still works on them",
    seed="codeq: Worker Lease Expired",
    symptoms=(
        Symptom(
            "text",
            r"QUEUE00[234]|not-owner|not-in-progress|lease.*(expired|over|ended)",
            "a lost lease",
        ),
        Symptom("metric", "codeq_lease_expired_total>3", "leases end alone"),
    ),
    probes=(
        Probe(
            "queue.leases",
            "do leases end before their results come",
            "inside",
            ("kept", "late", "lost"),
            _look_at_leases,
        ),
    ),
    causes=(
        _cause(
            "lease-too-short",
            "{lost} leases of {command} ended and {late} results came too late: the work "
            "takes longer than the lease; {heartbeats} heartbeats were accepted",
            "queue.leases",
            "late",
            "longer",
            "heartbeat",
        ),
        _cause(
            "worker-lost",
            "{lost} of {deliveries} deliveries of {command} ended without a word: workers die",
            "queue.leases",
            "lost",
            "look",
            "heartbeat",
        ),
    ),
    fixes=(
        Fix(
            "longer",
            "Take longer leases",
            "codeq worker start --events {command} --lease-seconds 600",
            "none",
        ),
        Fix(
            "heartbeat",
            "Send heartbeats from outside of the work (the SDK and codeq worker do)",
            "codeq worker start --events {command}",
            "none",
        ),
        Fix(
            "look",
            "See who had them and what they said",
            "codeq task list --command {command}",
            "none",
        ),
    ),
    escalation="codeq task get ID shows every delivery of a task",
)

RETRIES = Guide(
    id="retry-loop",
    title="Tasks fail and come back again and again",
    seed="codeq: NACK/Retry Loop",
    symptoms=(
        Symptom(
            "text",
            r"nack|retry.?loop|dead.?letter|dlq|(fail|retr)\w* (repeatedly|again)",
            "tasks come back",
        ),
        Symptom("metric", "codeq_dlq_depth>0", "there are dead letters"),
    ),
    probes=(
        Probe(
            "queue.retries",
            "do deliveries come back more often than they end",
            "inside",
            ("few", "loop", "tight-loop", "dead"),
            _look_at_retries,
        ),
    ),
    causes=(
        _cause(
            "tasks-fail",
            "workers gave {nacks} deliveries of {command} back, more than ended; {dead} died",
            "queue.retries",
            "loop",
            "errors",
            "attempts",
        ),
        _cause(
            "backoff-too-short",
            "{nacks} deliveries of {command} came back and were tried again after {backoff} s",
            "queue.retries",
            "tight-loop",
            "backoff",
            "errors",
        ),
        _cause(
            "dead-letters",
            "{dead} tasks of {command} have failed for the last time",
            "queue.retries",
            "dead",
            "errors",
            "redrive",
            "attempts",
        ),
    ),
    fixes=(
        Fix("errors", "Read what they failed with", "codeq queue inspect {command} --dlq", "none"),
        Fix(
            "backoff",
            "Wait longer between tries (backoffBaseSeconds)",
            "BACKOFF_BASE_SECONDS=5 codeq-server",
            "restart",
        ),
        Fix(
            "attempts",
            "Try more often (maxAttemptsDefault)",
            "MAX_ATTEMPTS_DEFAULT=10 codeq-server",
            "restart",
        ),
        Fix("redrive", "Once mended, send them again", "codeq dlq redrive {command}", "none"),
    ),
    escalation="each error is in the log with its task's id",
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
            "unbound",
        ),
        _cause("pause-delays", "the queue {command} is paused", "queue.late", "paused", "unbound"),
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
        _BOUND,
        _INSPECT,
    ),
    escalation="codeq_task_wait_seconds tells waiting from working",
)
