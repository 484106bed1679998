"""The server under load: its memory, the pace of its store, what contradicts itself in it."""

import re

from backstay.core.duration import parse_duration
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import seen
from backstay.core.room import room_of
from backstay.queue.guides.looking import NOTHING, Numbers, inside, numbers, settings

_SLOW = r"slow|latency|take\w* (too )?long|timed? ?out"
_WRONG = r"inconsisten|stuck|orphan|wrong.*(count|depth)|(count|depth)\w*.*wrong|cleanup"
_NEAR = 0.85
_LARGE_PAYLOADS = 4 * 1024 * 1024
_SLOW_WRITE = 0.4
_LONG_POLL = 0.5


async def _look_at_memory(target: Target) -> Evidence:
    live = await inside("queue.memory", target, "/live")
    if isinstance(live, Evidence):
        return live
    known = await settings("queue.memory", target)
    if isinstance(known, Evidence):
        return known
    room = room_of(int(live.get("pid", 0)))
    facts: dict[str, Plain] = {
        "used_mb": room.used >> 20,
        "limit_mb": room.limit >> 20,
        "limit": room.whose,
    }
    if not room.near(_NEAR):
        return seen("queue.memory", "fine", "pass", **facts)
    reading = "near-limit"
    if known.get("log_level") == "debug":
        reading = "near-debug"
    elif int(str(known.get("max_payload_bytes") or 0)) > _LARGE_PAYLOADS:
        reading = "near-payloads"
    facts["max_payload_mb"] = int(str(known.get("max_payload_bytes") or 0)) >> 20
    return seen("queue.memory", reading, "fail", **facts)


async def _look_at_pace(target: Target) -> Evidence:
    """How long the last real write took that the server's own check made (every 5 s)."""
    checks = await inside("queue.pace", target, "/checks")
    if isinstance(checks, Evidence):
        return checks
    store = (checks.get("checks") or {}).get("store") or {}
    if store.get("status") == "unhealthy":
        return seen("queue.pace", "quick", "skip")  # not slow but failing: the store's own guides
    took = parse_duration(str(store.get("duration") or "0s"))
    known = await settings("queue.pace", target)
    if isinstance(known, Evidence):
        return known
    address = str(known.get("redis_addr") or "")
    facts: dict[str, Plain] = {
        "seconds": round(took, 3),
        "store": address or str(target.data / "queue.db"),
    }
    if took > _SLOW_WRITE:
        return seen("queue.pace", "slow-redis" if address else "slow-disk", "fail", **facts)
    if re.search(_SLOW, target.text, re.IGNORECASE):
        found = await numbers("queue.pace", target)
        if isinstance(found, Evidence):
            return found
        polled = _mean(found, "/v1/codeq/tasks/claim")
        other = _mean(found, "/v1/codeq/tasks")
        if polled > _LONG_POLL and other < _LONG_POLL:
            facts |= {"polled": round(polled, 2), "other": round(other, 4)}
            return seen("queue.pace", "long-polls", "warn", **facts)
    return seen("queue.pace", "quick", "pass", **facts)


def _mean(found: Numbers, path: str) -> float:
    count = found.total("http_request_duration_seconds_count", path=path)
    return found.total("http_request_duration_seconds_sum", path=path) / count if count else 0.0


async def _look_for_contradictions(target: Target) -> Evidence:
    """An audit reads the whole store: only for somebody who has seen something odd."""
    if not re.search(_WRONG, target.text, re.IGNORECASE):
        return seen("queue.audit", NOTHING, "skip")
    found = await inside("queue.audit", target, "/probe/queue.audit", 8.0)
    if isinstance(found, Evidence):
        return found
    odd = found.get("found") or []
    if not odd:
        return seen("queue.audit", "sound", "pass", found)
    first = odd[0]
    facts: dict[str, Plain] = {
        "count": found.get("count"),
        "kind": first.get("kind"),
        "id": first.get("id"),
        "says": first.get("says"),
    }
    return seen("queue.audit", "contradictions", "fail", found, **facts)


def _cause(id: str, says: str, probe: str, reading: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {probe: {reading: 0.97}}, fixes)


QUEUE_MEMORY = Guide(
    id="queue-memory",
    title="The queue's server needs too much memory",
    seed="codeq: High Memory Usage",
    symptoms=(
        Symptom(
            "text",
            r"OOM|(out of|excessive|high|much) memory|memory (usage|leak)|MemoryError",
            "memory",
        ),
    ),
    probes=(
        Probe(
            "queue.memory",
            "is the server near the end of its memory",
            "inside",
            ("fine", "near-debug", "near-payloads", "near-limit"),
            _look_at_memory,
        ),
    ),
    causes=(
        _cause(
            "debug-logging",
            "the server uses {used_mb} of {limit_mb} MiB and writes a debug log",
            "queue.memory",
            "near-debug",
            "log-level",
            "profile",
        ),
        _cause(
            "payloads-large",
            "the server uses {used_mb} of {limit_mb} MiB and takes payloads up to {max_payload_mb}",
            "queue.memory",
            "near-payloads",
            "payloads",
            "profile",
        ),
        _cause(
            "memory-limit-low",
            "the server uses {used_mb} of the {limit_mb} MiB that are {limit} limit",
            "queue.memory",
            "near-limit",
            "profile",
            "raise-limit",
        ),
    ),
    fixes=(
        Fix("log-level", "Log less", "LOG_LEVEL=info codeq-server", "restart"),
        Fix("payloads", "Take smaller ones", "MAX_PAYLOAD_BYTES=1048576 codeq-server", "restart"),
        Fix(
            "profile",
            "See what holds it",
            "curl http://127.0.0.1:8080/debug/pprof/heap > heap.prof; go tool pprof heap.prof",
            "none",
        ),
        Fix(
            "raise-limit",
            "Raise the limit, on Kubernetes resources.limits.memory",
            "ulimit -d",
            "restart",
        ),
    ),
    escalation="two heap profiles some minutes apart show what grows",
)

QUEUE_SLOW = Guide(
    id="queue-slow",
    title="The queue answers slowly",
    seed="codeq: Slow Response Times; High Latency",
    symptoms=(Symptom("text", _SLOW, "slow answers"),),
    probes=(
        Probe(
            "queue.pace",
            "how long does a write into the store take",
            "inside",
            ("quick", "slow-redis", "slow-disk", "long-polls"),
            _look_at_pace,
        ),
    ),
    causes=(
        _cause(
            "redis-slow",
            "a write into the store at {store} takes {seconds} s",
            "queue.pace",
            "slow-redis",
            "latency",
            "slowlog",
        ),
        _cause(
            "disk-slow",
            "a commit into {store} takes {seconds} s",
            "queue.pace",
            "slow-disk",
            "disk",
        ),
        _cause(
            "long-polls",
            "claims wait for tasks as they ask to ({polled} s); other requests take {other} s",
            "queue.pace",
            "long-polls",
            "wait",
        ),
    ),
    fixes=(
        Fix("latency", "Measure the way to it", "redis-cli -h HOST -p PORT --latency", "none"),
        Fix(
            "slowlog",
            "See what it is busy with",
            "redis-cli -h HOST -p PORT SLOWLOG GET 10",
            "none",
        ),
        Fix(
            "disk",
            "Put the data folder on a faster disk, or give up surviving a power cut",
            "codeq-server --durability process",
            "restart",
        ),
        Fix(
            "wait", "Nothing is wrong; ask for less", "codeq worker start --wait-seconds 5", "none"
        ),
    ),
    escalation="each answer's X-Request-Id is in the log with its duration",
)

QUEUE_AUDIT = Guide(
    id="queue-inconsistent",
    title="The queue's store contradicts itself",
    seed="codeq: Data Inconsistency",
    symptoms=(Symptom("text", _WRONG, "odd numbers"),),
    probes=(
        Probe(
            "queue.audit",
            "do entries of the store contradict each other",
            "inside",
            (NOTHING, "sound", "contradictions"),
            _look_for_contradictions,
            deadline=9.0,
            cost=1.0,
        ),
    ),
    causes=(
        _cause(
            "contradictions",
            "{count} entries contradict others, the first: {says} ({kind} {id})",
            "queue.audit",
            "contradictions",
            "cleanup",
        ),
    ),
    fixes=(
        Fix(
            "cleanup",
            "Mend them; pending and running tasks are left alone",
            "codeq admin cleanup --command COMMAND",
            "data",
        ),
    ),
    escalation="take a backup first: docs/how-to/back-up-and-restore",
)
