"""Operations on their way to the scripts, and what the scripts answered on its way back.

Each operation becomes a list: the name of its function in Lua, `now`, a stamp that no other
operation of this server has, then what the function takes. Answers come as one summary and a row of
blobs (record, payload, result of each task shown), which are read in the order of the operations.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.queue.errors import (
    IDEMPOTENCY_CONFLICT,
    NOT_IN_PROGRESS,
    NOT_OWNER,
    STALE_LEASE,
    TASK_NOT_FOUND,
)
from backstay.queue.model import Delivery, Event, Policy, Task
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Fire,
    Move,
    Nack,
    Op,
    OpResult,
    Purge,
    Redrive,
    Reschedule,
    SetPeriodic,
    SetPolicy,
    SettleDelivery,
    TakeDeliveries,
)
from backstay.queue.store import Expired, Happened
from backstay.queue.store.redis_layout import SEPARATOR, full_id, split_id, tag_of, task_of

CREATED, ONE, LIST, COUNT, REFUSED, OTHERS = range(6)
Wire = list[Any]

_EVENTS: dict[str, Event] = {
    "extend": "extend",
    "finish": "finish",
    "nack": "nack",
    "abandon": "abandon",
    "cancel": "cancel",
    "redrive": "redrive",
    "reschedule": "reschedule",
}


class Asked(msgspec.Struct):
    """One operation for the keys of one command, as it was asked and as it is sent."""

    op: Op
    wire: Wire
    now: float


def place(tenant: str, name: str) -> str:
    """The field of something that is one per (tenant, name)."""
    return f"{tenant}{SEPARATOR}{name}"


def local_id(id: str) -> str:
    """The id without its tag; one that a caller made up with a dot in it loses the dot."""
    return id.replace(".", "-")


def create(op: Create) -> Wire:
    """Arguments of `run.create`."""
    return [
        *(local_id(op.id), op.tenant, op.payload, op.priority, op.max_attempts, op.due_at),
        *(op.idempotency_key, op.fingerprint, op.reply_to, op.webhook, op.tags, op.key, op.trace),
    ]


def claim(op: Claim, tokens: tuple[str, ...], count: int, *, noted: bool) -> Wire:
    """Arguments of `run.claim`; `noted` has the time of the poll written down."""
    return [op.worker, tokens, op.lease_seconds, op.tenants, count, noted]


def _hold(op: Extend | Finish | Nack | Abandon) -> Wire:
    return [op.tenant, split_id(op.id)[0], op.worker, op.token]


def bounds(policy: Policy) -> Wire:
    """A policy as `head.lua` reads it; empty when it bounds nothing."""
    if not policy.bounds:
        return []
    return [
        *(policy.paused, policy.concurrency, policy.rate, policy.burst),
        *(policy.key_concurrency, policy.key_rate, policy.updated_at),
    ]


def _fire(op: Fire) -> Wire:
    made = ["create", 0, 0, *create(op.task)] if op.task is not None else []
    return [place(op.tenant, op.name), op.at, op.next_at, made]


_ARGUMENTS: dict[type, Callable[[Any], Wire]] = {
    Create: create,
    Extend: lambda op: [*_hold(op), op.seconds, op.progress],
    Finish: lambda op: [*_hold(op), op.ok, op.result, op.error],
    Nack: lambda op: [*_hold(op), op.reason, -1 if op.delay is None else op.delay],
    Abandon: _hold,
    Cancel: lambda op: [op.tenant, split_id(op.id)[0], op.reason],
    Redrive: lambda op: [op.tenant, split_id(op.id)[0], op.due_at],
    Reschedule: lambda op: [op.tenant, split_id(op.id)[0], op.due_at],
    Move: lambda op: [op.limit],
    Ack: lambda op: [op.tenant, op.reply_to, [split_id(each)[0] for each in op.ids]],
    SetPolicy: lambda op: [op.policy.tenant, bounds(op.policy)],
    SetPeriodic: lambda op: [
        place(op.periodic.tenant, op.periodic.name),
        msgspec.structs.astuple(op.periodic),
        op.remove,
    ],
    Fire: _fire,
    TakeDeliveries: lambda op: [op.seconds, op.limit],
    SettleDelivery: lambda op: [
        split_id(op.id)[0],
        op.error,
        -1 if op.due_at is None else op.due_at,
    ],
}

_NAMES: dict[type, str] = {
    Create: "create",
    Claim: "claim",
    Extend: "extend",
    Finish: "finish",
    Nack: "nack",
    Abandon: "abandon",
    Cancel: "cancel",
    Move: "move",
    Redrive: "redrive",
    Reschedule: "reschedule",
    Purge: "purge",
    Ack: "ack",
    SetPolicy: "set_policy",
    SetPeriodic: "set_periodic",
    Fire: "fire",
    TakeDeliveries: "take_deliveries",
    SettleDelivery: "settle_delivery",
}


def asked(op: Op, now: float, stamp: int, arguments: Wire | None = None) -> Asked:
    """The operation as it is sent. `arguments` where they are not the operation's own."""
    given = _ARGUMENTS[type(op)](op) if arguments is None else arguments
    wire = [_NAMES[type(op)], now, stamp, *given]
    if isinstance(op, Fire) and op.task is not None:
        wire[-1][1:3] = [now, stamp]
    return Asked(op, wire, now)


# --- where it goes ---------------------------------------------------------------------------


def home(op: Op) -> str | None:
    """The tag of the one command an operation is for; empty when its task id is none of ours, None
    when it is for several."""
    match op:
        case Create(command=command):
            return tag_of(command)
        case Claim(commands=(command,)):
            return tag_of(command)
        case SetPolicy(policy=policy):
            return tag_of(policy.command)
        case Extend() | Finish() | Nack() | Abandon() | Cancel() | Redrive() | Reschedule():
            return split_id(op.id)[1]
        case SettleDelivery():
            return split_id(op.id)[1]
        case _:
            return None


def makes(op: Op) -> bool:
    """Whether it may be the first of its command in the store."""
    return isinstance(op, Create | SetPolicy | Fire)


# --- answers ---------------------------------------------------------------------------------


def answer(one: Asked, told: Wire, blobs: Iterator[bytes], tag: str, command: str) -> Any:
    """What the engine gives for one operation. A claim gives its tasks and whether there is more,
    a purge its count and where to go on."""
    kind = told[0]
    op: Any = one.op
    if kind == CREATED:
        return _created(op, one.now, tag)
    if kind == ONE:
        return task_of(next(blobs), next(blobs), next(blobs), tag, command)
    if kind == LIST:
        tasks = [
            task_of(next(blobs), next(blobs), next(blobs), tag, command) for _ in range(told[1])
        ]
        return tasks, bool(told[2])
    if kind == REFUSED:
        return _fault(op, told[1], told[2], tag, command)
    if kind == OTHERS:
        return [next(blobs) for _ in range(told[1])]
    return (told[1], told[2]) if isinstance(op, Purge) else told[1]


def _created(op: Create, now: float, tag: str) -> Task:
    delayed = op.due_at > now
    return Task(
        id=full_id(local_id(op.id), tag),
        tenant=op.tenant,
        command=op.command,
        payload=op.payload,
        state="delayed" if delayed else "ready",
        created_at=now,
        updated_at=now,
        priority=op.priority,
        max_attempts=op.max_attempts,
        due_at=op.due_at if delayed else now,
        idempotency_key=op.idempotency_key,
        reply_to=op.reply_to,
        webhook=op.webhook,
        tags=op.tags,
        key=op.key,
        trace=op.trace,
    )


def _fault(op: Any, why: str, value: str, tag: str, command: str) -> Fault:
    if why == "conflict":
        made: Any = op.task if isinstance(op, Fire) else op
        known = full_id(value, tag)
        return Fault(IDEMPOTENCY_CONFLICT, key=made.idempotency_key, command=command, id=known)
    if why == "missing":
        return Fault(TASK_NOT_FOUND, id=op.id)
    if why == "owner":
        return Fault(NOT_OWNER, id=op.id)
    event = _EVENTS[_NAMES[type(op)]]
    if why == "stale":
        return Fault(STALE_LEASE, id=op.id, event=event)
    return Fault(NOT_IN_PROGRESS, id=op.id, state=value, event=event)


def delivery_of(raw: bytes, tag: str) -> Delivery:
    """A result callback as `places.lua` writes it."""
    own, tenant, task, url, due_at, attempts, error, given_up = msgspec.msgpack.decode(raw)
    return Delivery(
        full_id(own, tag),
        tenant,
        full_id(task, tag),
        url,
        float(due_at),
        attempts,
        error,
        bool(given_up),
    )


HUGE = 1e300
"""What the scripts say for never."""


def happened_of(told: Wire, tag: str, command: str, ahead: float) -> Happened:
    """What a call changed, as its summary or a message of another server tells it. `ahead` is by
    how much the wall clock is before that of leases."""
    tenants, wall, lease, ended, names, expired, deliveries, periodics = told
    earliest = min(wall, lease + ahead if lease < HUGE else HUGE)
    return Happened(
        ready={(tenant, command): many for tenant, many in tenants},
        earliest=float("inf") if earliest >= HUGE else float(earliest),
        ended=[full_id(each, tag) for each in ended],
        replies=frozenset(names),
        expired=[
            Expired(full_id(each, tag), command, worker, attempts, state)
            for each, worker, attempts, state in expired
        ],
        deliveries=deliveries,
        periodics=bool(periodics),
    )


def is_result(value: Any) -> OpResult:
    """For the type checker: what `answer` gives for operations that are not taken apart further."""
    result: OpResult = value
    return result
