"""From an operation and its answer to what its client saw of it."""

from functools import singledispatch

from tests.queue.history.events import Answer, Kind, Seen

from backstay.core.errors import Fault
from backstay.queue.model import Task
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Fire,
    Nack,
    Op,
    OpResult,
    Purge,
    Redrive,
    Reschedule,
    SetPolicy,
)

_KINDS: dict[type, Kind] = {
    Create: "create",
    Extend: "extend",
    Finish: "finish",
    Nack: "nack",
    Abandon: "abandon",
    Cancel: "cancel",
    Redrive: "redrive",
    Reschedule: "reschedule",
    Purge: "purge",
}


class Moment:
    """When a request was made and answered; `ended` infinite for one that was not."""

    def __init__(self, began: float, ended: float, wall: float, request: int = 0) -> None:
        self.began = began
        self.ended = ended
        self.wall = wall
        self.request = request

    def seen(self, kind: Kind, **fields: object) -> Seen:
        times = {"began": self.began, "ended": self.ended, "wall": self.wall}
        return Seen(kind, request=self.request, **times, **fields)  # type: ignore[arg-type]


def observe(op: Op, result: OpResult | None, when: Moment, order: int) -> list[Seen]:
    """`result` None: nobody answered. Operations that no promise speaks of leave no record."""
    answer: Answer = "yes"
    if result is None:
        answer = "unknown"
    elif isinstance(result, Fault) or result == 0:
        answer = "no"
    return _observe(op, result, when, answer, order)


@singledispatch
def _observe(
    op: Op, result: OpResult | None, when: Moment, answer: Answer, order: int
) -> list[Seen]:
    kind = _KINDS.get(type(op))
    if kind is None:
        return []
    asked = {
        "tenant": op.tenant,
        "id": getattr(op, "id", ""),
        "token": getattr(op, "token", ""),
        "who": getattr(op, "worker", ""),
        "seconds": getattr(op, "seconds", 0.0),
        "command": getattr(op, "command", ""),
        "answer": answer,
        "order": order,
    }
    if isinstance(op, Finish):
        # An unanswered one may have had this effect.
        asked |= {"state": "completed" if op.ok else "failed", "result": op.result}
    if isinstance(result, Task):
        asked |= _of(result)
    if isinstance(op, Nack) and isinstance(result, Task) and op.token:
        # The task has no token any more; whose lease this ended is known from what was sent.
        asked["seconds"] = max(0.0, result.due_at - result.updated_at)
    if isinstance(op, Nack | Abandon):
        asked["token"] = op.token
    return [when.seen(kind, **asked)]


@_observe.register
def _create(
    op: Create, result: OpResult | None, when: Moment, answer: Answer, order: int
) -> list[Seen]:
    asked = {
        "tenant": op.tenant,
        "owner": op.tenant,
        "command": op.command,
        "id": op.id,
        "once": op.idempotency_key,
        "answer": answer,
        "order": order,
    }
    if isinstance(result, Task):
        asked |= _of(result)
    asked |= {"fingerprint": op.fingerprint, "due_at": op.due_at}
    if isinstance(result, Task) and result.id != op.id:
        asked["due_at"] = 0.0  # the task of an earlier request, which had its own
    return [when.seen("create", **asked)]


@_observe.register
def _claim(
    op: Claim, result: OpResult | None, when: Moment, answer: Answer, order: int
) -> list[Seen]:
    asked = {
        "tenant": op.tenants[0] if op.tenants else "*",
        "who": op.worker,
        "commands": op.commands,
        "seconds": op.lease_seconds,
        "answer": answer,
    }
    if not isinstance(result, list) or not result:
        return [when.seen("claim", **asked)]
    return [
        when.seen("claim", **(asked | _of(task) | {"order": number}))
        for number, task in enumerate(result)
        if isinstance(task, Task)
    ]


@_observe.register
def _set_policy(
    op: SetPolicy, result: OpResult | None, when: Moment, answer: Answer, order: int
) -> list[Seen]:
    policy = op.policy
    return [
        when.seen(
            "policy",
            tenant="*",
            owner=policy.tenant,
            command=policy.command,
            policy=policy,
            answer=answer,
            order=order,
        )
    ]


@_observe.register
def _fire(
    op: Fire, result: OpResult | None, when: Moment, answer: Answer, order: int
) -> list[Seen]:
    if op.task is None:
        return []
    asked = {"tenant": op.tenant, "owner": op.tenant, "command": op.task.command}
    if isinstance(result, Task):
        asked |= _of(result)
    asked |= {"once": op.name, "due_at": op.at, "answer": answer, "order": order}
    return [when.seen("fire", **asked)]


def _of(task: Task) -> dict[str, object]:
    return {
        "id": task.id,
        "owner": task.tenant,
        "command": task.command,
        "state": task.state,
        "attempts": task.attempts,
        "max_attempts": task.max_attempts,
        "priority": task.priority,
        "key": task.key,
        "result": task.result,
        "token": task.lease_token,
        "webhook": bool(task.webhook),
        "due_at": task.due_at,
    }


def final(task: Task, when: Moment) -> Seen:
    return when.seen("final", **_of(task))
