"""All operations of the memory queue: those on tasks, and here those on what is kept beside them:
policies, the calendar, subscriptions, callbacks."""

from collections.abc import Callable
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.queue.model import ANY_TENANT, Delivery, Subscription, Task
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    FinishAll,
    Finished,
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
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)
from backstay.queue.store.many import finished
from backstay.queue.store.memory_tasks import TaskOperations


class Operations(TaskOperations):
    """What a `MemoryEngine` can be asked to do."""

    def apply(self, op: Op) -> OpResult:
        """Its result, or its own Fault."""
        run: Callable[[Any], OpResult] = getattr(self, _METHODS[type(op)])
        try:
            return run(op)
        except Fault as refused:
            return refused

    def finish_all(self, op: FinishAll) -> Finished:
        return finished([self.apply(each) for each in op.items])

    def set_policy(self, op: SetPolicy) -> int:
        policy = op.policy
        if policy.bounds:
            self._world.policies[policy.tenant, policy.command] = policy
        else:
            self._world.policies.pop((policy.tenant, policy.command), None)
        return 1

    def set_periodic(self, op: SetPeriodic) -> int:
        name = (op.periodic.tenant, op.periodic.name)
        self.periodics = True
        if op.remove:
            return int(self._world.periodics.pop(name, None) is not None)
        self._world.periodics[name] = op.periodic
        return 1

    def fire(self, op: Fire) -> Task | int:
        periodic = self._world.periodics.get((op.tenant, op.name))
        if periodic is None or periodic.next_at != op.at:
            return 0
        moved = msgspec.structs.replace(periodic, next_at=op.next_at)
        if op.task is None:
            self._world.periodics[op.tenant, op.name] = moved
            return 1
        task = self.create(op.task)
        moved = msgspec.structs.replace(moved, last_at=op.at)
        self._world.periodics[op.tenant, op.name] = moved
        return task

    def subscribe(self, op: Subscribe) -> int:
        name = (op.subscription.tenant, op.subscription.id)
        if op.remove:
            return int(self._world.subscriptions.pop(name, None) is not None)
        self._world.subscriptions[name] = op.subscription
        return 1

    def take_notices(self, op: TakeNotices) -> list[Subscription]:
        told: list[Subscription] = []
        for name, each in list(self._world.subscriptions.items()):
            if each.tenant not in (op.tenant, ANY_TENANT):
                continue
            if each.commands and op.command not in each.commands:
                continue
            if each.expires_at <= self._now:
                del self._world.subscriptions[name]
            # One that was told "in the future" was told before the wall clock was set back.
            elif not each.notified_at <= self._now < each.notified_at + each.min_interval:
                marked = msgspec.structs.replace(each, notified_at=self._now)
                self._world.subscriptions[name] = marked
                told.append(marked)
        return told

    def take_deliveries(self, op: TakeDeliveries) -> list[Delivery]:
        kept = self._world.deliveries
        due = [each for each in kept.values() if not each.given_up and each.due_at <= self._now]
        due.sort(key=lambda each: each.due_at)
        taken = [
            msgspec.structs.replace(each, due_at=self._now + op.seconds) for each in due[: op.limit]
        ]
        kept.update((each.id, each) for each in taken)
        return taken

    def settle_delivery(self, op: SettleDelivery) -> int:
        kept = self._world.deliveries.pop(op.id, None)
        if kept is None:
            return 0
        if op.error or op.due_at is not None:
            self._world.deliveries[op.id] = msgspec.structs.replace(
                kept,
                # A person who lets a given-up one wait again begins anew.
                attempts=0 if kept.given_up and op.due_at is not None else kept.attempts + 1,
                error=op.error,
                given_up=op.due_at is None,
                due_at=kept.due_at if op.due_at is None else op.due_at,
            )
        return 1


_METHODS: dict[type, str] = {
    Create: "create",
    Claim: "claim",
    Extend: "extend",
    Finish: "finish",
    FinishAll: "finish_all",
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
    Subscribe: "subscribe",
    TakeNotices: "take_notices",
    TakeDeliveries: "take_deliveries",
    SettleDelivery: "settle_delivery",
}
