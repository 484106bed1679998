"""Tasks wait and nobody takes them: no worker serves their command."""

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import expected, look_inside, pid_life, read_state, seen

_COMMANDS = "queue.commands"
_WORKERS = "queue.workers"
_WAITS = 3.0
"""Seconds a ready task may wait before anybody should wonder."""
_QUIET = 5.0


async def _look_at_commands(target: Target) -> Evidence:
    found = await look_inside(_COMMANDS, target, "queue", "/probe/queue.commands")
    if isinstance(found, Evidence):
        return found
    commands = found.get("commands") or {}
    unserved = {name: seen_ for name, seen_ in sorted(commands.items()) if _unserved(seen_)}
    if not unserved:
        busy = [name for name, one in sorted(commands.items()) if one.get("ready")]
        reading = "served" if busy else "idle"
        return seen(_COMMANDS, reading, "pass", found, commands=[*busy])
    name = next(iter(unserved))
    one = unserved[name]
    # Somebody asked once: the worker is gone; nobody ever did: there was none.
    reading = "left" if any(_asked(other) for other in unserved.values()) else "unserved"
    facts: dict[str, Plain] = {
        "command": name,
        "commands": list(unserved),
        "ready": one.get("ready"),
        "oldest_ready_seconds": round(float(one.get("oldest_ready_age", 0)), 1),
        "last_claim_seconds": round(float(one.get("last_claim_age", -1)), 1),
        "data": str(target.data),
    }
    return seen(_COMMANDS, reading, "fail", found, **facts)


def _asked(one: dict[str, float]) -> bool:
    return one.get("last_claim_age", -1) >= 0


def _unserved(one: dict[str, float]) -> bool:
    if not one.get("ready") or one.get("waiting_claims"):
        return False
    quiet = not _asked(one) or one["last_claim_age"] > _QUIET
    # A worker at work does not ask; its lease shows it.
    at_work = one.get("in_progress", 0) > 0 and one.get("last_claim_age", -1) < 60
    return one.get("oldest_ready_age", 0) > _WAITS and quiet and not at_work


async def _look_at_workers(target: Target) -> Evidence:
    """Programs that `up` started and that serve no address: workers."""
    processes = read_state(target).get("processes") or {}
    workers = {
        name: one
        for name, one in sorted(processes.items())
        if not one.get("address") and expected(target, name)
    }
    if not workers:
        return seen(_WORKERS, "none", "skip")
    down = {
        name: one
        for name, one in workers.items()
        if one.get("state") in ("gave_up", "stopped") or pid_life(one.get("pid")) != "alive"
    }
    if not down:
        return seen(_WORKERS, "all-run", "pass", workers, workers=list(workers))
    name, one = next(iter(down.items()))
    ended = one.get("last_exit") or {}
    life = pid_life(one.get("pid"))
    state = "suspended" if life == "suspended" else str(one.get("state", ""))
    return seen(
        _WORKERS,
        "down",
        "fail",
        workers,
        worker=name,
        worker_state=state if state != "ready" else "killed",
        exit_reason=ended.get("reason", ""),
        exit_code=ended.get("code"),
        data=str(target.data),
    )


COMMANDS = Probe(
    _COMMANDS,
    "does somebody ask for the tasks that wait",
    "inside",
    ("served", "idle", "unserved", "left"),
    _look_at_commands,
)
WORKERS = Probe(
    _WORKERS,
    "do the workers run that were started beside the app",
    "outside",
    ("all-run", "down", "none"),
    _look_at_workers,
)

_UP = {"queue.live": {"ready": 0.97}}

NO_WORKER = Guide(
    id="no-worker",
    title="Tasks wait and nobody takes them",
    seed="codeq: Workers",
    symptoms=(
        Symptom(
            "text", r"PACK_ORDER|no worker|(task|order)s? .*(stuck|pending|waiting)", "no worker"
        ),
        Symptom("metric", "codeq_oldest_ready_age_seconds>60", "tasks grow old"),
        Symptom("state", "queue.commands=unserved", "nobody asks for a command"),
    ),
    probes=(COMMANDS, WORKERS),
    causes=(
        Cause(
            "worker-down",
            "the worker {worker} does not run ({worker_state})[[: no worker serves {command}]]",
            0.05,
            {
                _WORKERS: {"down": 0.97},
                _COMMANDS: {"left": 0.4, "idle": 0.38, "unserved": 0.2},
                **_UP,
            },
            ("restart-worker", "read-worker"),
        ),
        Cause(
            "no-worker",
            "no worker serves {command}: nobody ever asked for its tasks, {ready} wait",
            0.05,
            {_COMMANDS: {"unserved": 0.97}, _WORKERS: {"all-run": 0.9}, **_UP},
            ("start-worker",),
        ),
        Cause(
            "worker-left",
            "no worker serves {command} any more: the last asked {last_claim_seconds} s ago",
            0.04,
            {_COMMANDS: {"left": 0.97}, _WORKERS: {"all-run": 0.9}, **_UP},
            ("start-worker",),
        ),
    ),
    fixes=(
        Fix(
            "restart-worker",
            "Start the worker anew",
            "backstay restart {worker} --data {data}",
            "restart",
        ),
        Fix("read-worker", "Read why it ended", "backstay logs {worker} --data {data}", "none"),
        Fix(
            "start-worker",
            "Start a worker for the command",
            "codeq worker start --events {command}",
            "none",
        ),
    ),
    escalation="codeq queue inspect {command} shows the depths; waiting tasks are kept",
)
