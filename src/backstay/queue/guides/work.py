"""Work that does not end well: leases that end before it, tasks that fail again and again."""

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import seen
from backstay.queue.guides.looking import numbers, settings

_MOST_LOST = 0.1
_FEWEST_LOST = 3
_FEWEST_NACKS = 5
_SHORT_BACKOFF = 1.0


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


def _cause(id: str, says: str, probe: str, reading: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {probe: {reading: 0.97}}, fixes)


LEASES = Guide(
    id="lease-expired",
    title="Tasks are given to others while a worker still works on them",
    seed="codeq: Worker Lease Expired",
    symptoms=(
        Symptom(
            "text",
            r"QUEUE00[234]|not-owner|not-in-progress|lease.*(expired|over|ended)|reassigned",
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
            r"nack|retry.?loop|dead.?letter|dlq|(fail|retr)\w* (repeatedly|again)|repeatedly",
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
