"""The claim: whose turn it is, what the bounds allow, and in which order."""

from collections.abc import Iterator
from typing import Any

import msgspec

from backstay.core.clock import rfc3339
from backstay.queue.model import Policy, Task
from backstay.queue.operations import Claim, Leased
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_rows import Place, Row, place
from backstay.queue.store.sqlite_step import Step

Taken = list[Task | Leased]
_NUMBERS = msgspec.json.Decoder(list[int])
_WAITED = msgspec.json.Decoder(list[float])


def claim(step: Step, op: Claim) -> Taken:
    """Up to `count` tasks, leased."""
    step.open_gates()
    taken: Taken = []
    tokens = iter(op.tokens)
    left = op.count
    for command in op.commands or step.turns.commands():
        while left:
            tenants = step.turns.tenants(command, op.tenants, left)
            if not tenants:
                break
            share = max(1, left // len(tenants))
            for tenant in tenants:
                served = _serve(step, op, (tenant, command), min(share, left), tokens)
                taken += served
                left -= _count(served)
    return taken


def _count(taken: Taken) -> int:
    return sum(each.count if isinstance(each, Leased) else 1 for each in taken)


def _serve(
    step: Step, op: Claim, name: tuple[str, str], wanted: int, tokens: Iterator[str]
) -> Taken:
    """Of one queue. One that gives less than is wanted has no work any more, until it hears of
    some: by a task, or by a bound that was lifted."""
    tenant, command = name
    queue = step.queues.numbers[name]
    policy = step.bounds.policy(tenant, command)
    tasks: Taken
    if policy is not None:
        tasks = _bounded(step, op, queue, policy, wanted, tokens)
    elif op.shown:
        tasks = _lease_shown(step, op, name, wanted, tokens)
    else:
        tasks = [_lease(step, op, row, next(tokens)) for row in _pick(step, queue, wanted)]
    if _count(tasks) < wanted:
        step.turns.drop(command, tenant)
    else:
        step.turns.served(command, tenant)
    return tasks


def _pick(step: Step, queue: int, count: int) -> list[Row]:
    rows = step.db.execute(SQL["pick"], (queue, count)).fetchall()
    return [step.queues.read(values) for values in rows]


def _lease_shown(
    step: Step, op: Claim, name: tuple[str, str], wanted: int, tokens: Iterator[str]
) -> Taken:
    """By three statements, however many they are, and no object for each of them."""
    tenant, command = name
    picked: Any = step.db.execute(SQL["pick_all"], (step.queues.numbers[name], wanted)).get
    numbers = _NUMBERS.decode(picked)
    if not numbers:
        return []
    until = step.now + op.lease_seconds
    given = msgspec.json.encode(dict(zip(numbers, tokens, strict=False))).decode()
    lease = {
        "tokens": given,
        "now": step.now,
        "worker": op.worker,
        "until": until,
        "seconds": op.lease_seconds,
        "tick": step.tick + op.lease_seconds,
    }
    step.db.execute(SQL["lease_all"], lease)
    now_text = rfc3339(step.now)
    shown = {
        "tokens": given,
        "command_json": _field("command", command),
        "updated_json": f'","updatedAt":"{now_text}"',
        "lease_json": _field("workerId", op.worker)
        + f',"leaseUntil":"{rfc3339(until)}","leaseToken":"',
        "tenant_json": _field("tenantId", tenant),
        "claimed_json": _field("claimedAt", now_text),
    }
    row: Any = step.db.execute(SQL["show_all"], shown).fetchone()
    tasks, since = row
    step.wish(until)
    return [Leased(tenant, command, len(numbers), tasks, _WAITED.decode(since))]


def _field(name: str, text: str) -> str:
    return f',"{name}":{msgspec.json.encode(text).decode()}' if text else ""


def _bounded(
    step: Step, op: Claim, queue: int, policy: Policy, wanted: int, tokens: Iterator[str]
) -> Taken:
    """As many as the queue's bounds leave room for. A key that is at its bound must not hold up
    those behind it: its tasks are set aside, each of them once, until its bound is lifted."""
    room = min(wanted, step.room(queue, policy))
    taken: Taken = []
    while len(taken) < room:
        rows = _pick(step, queue, room - len(taken))
        if not rows:
            break
        full: set[str] = set()
        back: Place | None = None
        for row in rows:
            key = row.task.key
            if back is not None and back < place(row):
                break  # one that was set aside until now stands before this one
            if key in full or not step.key_free(queue, key, policy):
                full.add(key)
                continue
            taken.append(_lease(step, op, row, next(tokens)))
            came = _spend(step, queue, key, policy)
            back = min(came, back) if came and back else came or back
        for key in full:
            step.db.execute(SQL["set_aside"], (key, queue))
    if taken:
        # What it could not have now is told when the rate lets it through.
        step.room(queue, policy)
    return taken


def _spend(step: Step, queue: int, key: str, policy: Policy) -> Place | None:
    """The place of the next of its key, if that came back."""
    step.bounds.count(queue, 1)
    if policy.rate:
        step.bounds.spend((queue, ""), policy.rate, policy.burst, step.tick)
    if not key:
        return None
    if policy.key_rate:
        step.bounds.spend((queue, key), policy.key_rate, policy.burst, step.tick)
    return step.next_of_key(queue, key, policy)


def _lease(step: Step, op: Claim, row: Row, token: str) -> Task:
    now = step.now
    seconds = op.lease_seconds
    until = now + seconds
    attempts = row.task.attempts + 1
    step.db.execute(
        SQL["lease"],
        (now, attempts, op.worker, token, until, seconds, step.tick + seconds, now, row.seq),
    )
    step.wish(until)
    return msgspec.structs.replace(
        row.task,
        state="leased",
        attempts=attempts,
        worker=op.worker,
        lease_token=token,
        lease_until=until,
        claimed_at=now,
        updated_at=now,
    )
