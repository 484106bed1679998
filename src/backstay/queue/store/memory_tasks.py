"""The operations on tasks: what each of them means, said as plainly as it can be.

Each looks first and changes afterwards, so that one that is refused has changed nothing.
"""

from backstay.core.errors import Fault
from backstay.queue.errors import IDEMPOTENCY_CONFLICT
from backstay.queue.model import ANY_TENANT, Event, Holder, Task, expiry_delay, refusal, tries_left
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Move,
    Nack,
    Purge,
    Redrive,
    Reschedule,
    same_result,
)
from backstay.queue.store import Expired
from backstay.queue.store.memory_steps import Steps
from backstay.queue.store.memory_world import LEASE_EXPIRED, Entry

MAX_ATTEMPTS = "MAX_ATTEMPTS"


class TaskOperations(Steps):
    """Arriving, being served, ending, and what time does."""

    # --- arriving and being served ----------------------------------------------------------------

    def create(self, op: Create) -> Task:
        for entry in self._world.entries.values():
            once = (*entry.queue, entry.task.idempotency_key)
            if op.idempotency_key and once == (op.tenant, op.command, op.idempotency_key):
                if entry.fingerprint == op.fingerprint:
                    return entry.task
                known = {"key": op.idempotency_key, "command": op.command, "id": entry.task.id}
                raise Fault(IDEMPOTENCY_CONFLICT, **known)
        given = {name: getattr(op, name) for name in op.__struct_fields__ if name != "fingerprint"}
        state, due_at = self._when(op.due_at)
        times = {"created_at": self._now, "updated_at": self._now, "due_at": due_at}
        task = Task(**{**given, **times, "state": state})
        self._world.arrivals += 1
        self._world.entries[op.id] = Entry(self._world.arrivals, task, op.fingerprint)
        return task

    def claim(self, op: Claim) -> list[Task]:
        taken: list[Task] = []
        for token in op.tokens[: op.count]:
            entry = self._next(op)
            if entry is None:
                break
            taken.append(self._lease(op, entry, token))
        return taken

    def _next(self, op: Claim) -> Entry | None:
        """Of the command, then the tenant, whose turn it is: the first in the order of service."""
        return min(self._wanted(op), key=lambda entry: self._turn(op, entry), default=None)

    def _wanted(self, op: Claim) -> list[Entry]:
        """All that this claim could be given now, in the order of service inside each queue."""
        claimable = self._bounds.claimable(self._tick)
        self._turns.update(claimable)
        return [
            entry
            for entry in claimable
            if (not op.commands or entry.task.command in op.commands)
            and (not op.tenants or entry.task.tenant in op.tenants)
        ]

    def _turn(self, op: Claim, entry: Entry) -> tuple[int, int]:
        command = entry.task.command
        preference = op.commands.index(command) if op.commands else self._turns.since(command)
        return preference, self._turns.since(entry.queue)

    def _lease(self, op: Claim, entry: Entry, token: str) -> Task:
        self._bounds.spend(entry, self._tick)
        self._turns.serve(entry.queue)
        entry.delivered += 1
        entry.lease_seconds = op.lease_seconds
        entry.lease_tick = self._tick + op.lease_seconds
        return entry.become(
            state="leased",
            attempts=entry.task.attempts + 1,
            worker=op.worker,
            lease_token=token,
            lease_until=self._now + op.lease_seconds,
            claimed_at=self._now,
            updated_at=self._now,
        )

    # --- under a lease ----------------------------------------------------------------------------

    def extend(self, op: Extend) -> Task:
        entry = self._held(op, "extend")
        entry.lease_seconds = op.seconds
        entry.lease_tick = self._tick + op.seconds
        return entry.become(
            lease_until=self._now + op.seconds,
            progress=op.progress or entry.task.progress,
            updated_at=self._now,
        )

    def finish(self, op: Finish) -> Task:
        entry = self._entry(op.tenant, op.id)
        if same_result(op, entry.task):
            return entry.task
        self._held(op, "finish")
        entry.become(result=op.result)
        return self._end(entry, "completed" if op.ok else "failed", op.error)

    def nack(self, op: Nack) -> Task:
        entry = self._held(op, "nack")
        if not tries_left(entry.task):
            return self._end(entry, "dead", op.reason or MAX_ATTEMPTS)
        entry.remember(self._world.attempt(entry, "nacked", self._now, op.reason))
        delay = self._backoff(entry) if op.delay is None else op.delay
        return self._put_off(entry, delay, op.reason)

    def abandon(self, op: Abandon) -> Task:
        entry = self._held(op, "abandon")
        before = entry.task.error
        entry.remember(self._world.attempt(entry, "abandoned", self._now))
        entry.become(attempts=max(0, entry.task.attempts - 1))
        return self._put_off(entry, self._rules.abandon_delay, before)

    def _held(self, op: Extend | Finish | Nack | Abandon, event: Event) -> Entry:
        """The task, if whoever asks may do that to it now."""
        entry = self._entry(op.tenant, op.id)
        holder = Holder(op.id, op.worker, op.token, event)
        refused = refusal(holder, entry.task, living=self._tick < entry.lease_tick)
        if refused is not None:
            raise refused
        return entry

    # --- from outside -----------------------------------------------------------------------------

    def cancel(self, op: Cancel) -> Task:
        entry = self._entry(op.tenant, op.id)
        if entry.task.state == "cancelled":
            return entry.task
        return self._end(self._allowed(entry, "cancel"), "cancelled", op.reason)

    def redrive(self, op: Redrive) -> Task:
        entry = self._allowed(self._entry(op.tenant, op.id), "redrive")
        last = self._world.last_attempt(entry)
        if last is not None:
            entry.remember(last)
        entry.unacked = False
        state, due_at = self._when(op.due_at)
        return entry.become(
            state=state,
            due_at=due_at,
            attempts=0,
            worker="",
            lease_token="",
            claimed_at=0.0,
            progress="",
            result="",
            error="",
            ended_at=0.0,
            updated_at=self._now,
        )

    def reschedule(self, op: Reschedule) -> Task:
        entry = self._allowed(self._entry(op.tenant, op.id), "reschedule")
        state, due_at = self._when(op.due_at)
        return entry.become(state=state, due_at=due_at, updated_at=self._now)

    def purge(self, op: Purge) -> int:
        chosen = [
            entry
            for entry in self._world.entries.values()
            if entry.ended
            and not entry.unacked
            and entry.task.ended_at < op.before
            and op.tenant in (ANY_TENANT, entry.task.tenant)
            and op.command in ("", entry.task.command)
            and (not op.states or entry.task.state in op.states)
        ]
        return self._delete(chosen, op.limit)

    def ack(self, op: Ack) -> int:
        count = 0
        for task_id in op.ids:
            entry = self._world.entries.get(task_id)
            if (
                entry is not None
                and entry.unacked
                and entry.task.reply_to == op.reply_to
                and op.tenant in (ANY_TENANT, entry.task.tenant)
            ):
                entry.unacked = False
                entry.become(updated_at=self._now)
                count += 1
        return count

    # --- time -------------------------------------------------------------------------------------

    def move(self, op: Move) -> int:
        due = [each for each in self._world.within("delayed") if each.task.due_at <= self._now]
        due.sort(key=lambda entry: entry.task.due_at)
        for entry in due[: op.limit]:
            entry.become(state="ready", updated_at=self._now)
        late = [each for each in self._world.within("leased") if each.lease_tick <= self._tick]
        late.sort(key=lambda entry: entry.lease_tick)
        for entry in late[: op.limit]:
            self._expire(entry)
        before = self._now - self._rules.retention
        old = [
            entry
            for entry in self._world.entries.values()
            if entry.ended and not entry.unacked and entry.task.ended_at <= before
        ]
        moved = len(due[: op.limit]) + len(late[: op.limit]) + self._lifted
        return moved + self._delete(old, op.limit)

    def _expire(self, entry: Entry) -> None:
        task = entry.task
        if not tries_left(task):
            became = self._end(entry, "dead", LEASE_EXPIRED)
        else:
            entry.remember(self._world.attempt(entry, "expired", self._now, LEASE_EXPIRED))
            delay = expiry_delay(task, self._rules.backoff, self._dice)
            became = self._put_off(entry, delay, LEASE_EXPIRED)
        lost = Expired(task.id, task.command, task.worker, task.attempts, became.state)
        self.expired.append(lost)
