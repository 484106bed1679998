"""What the operations of the memory queue share: finding, putting off, ending, deleting."""

from typing import NamedTuple

from backstay.core.clock import Dice
from backstay.core.errors import Fault
from backstay.queue.errors import NOT_IN_PROGRESS, TASK_NOT_FOUND
from backstay.queue.model import ALLOWED, ANY_TENANT, Delivery, Event, Rules, State, Task
from backstay.queue.store import Expired
from backstay.queue.store.memory_world import Bounds, Entry, Turns, World


class Kept(NamedTuple):
    """What operations work on: the world, and what a process remembers beside it."""

    world: World
    bounds: Bounds
    turns: Turns
    rules: Rules
    dice: Dice


class Steps:
    """One apply: `now` (wall) and `tick` (monotonic) are the same for all of it. `lifted` counts
    tasks that the passing of time alone made claimable: their rate allows them again."""

    def __init__(self, kept: Kept, now: float, tick: float, lifted: int) -> None:
        self._world, self._bounds, self._turns, self._rules, self._dice = kept
        self._now = now
        self._tick = tick
        self._lifted = lifted
        self.ended: list[str] = []
        self.replies: set[str] = set()
        self.expired: list[Expired] = []
        self.deliveries = 0
        self.periodics = False

    def _entry(self, tenant: str, id: str) -> Entry:
        entry = self._world.entries.get(id)
        # Another tenant's task is as unknown as none: its id must tell nothing.
        if entry is None or tenant not in (ANY_TENANT, entry.task.tenant):
            raise Fault(TASK_NOT_FOUND, id=id)
        return entry

    def _allowed(self, entry: Entry, event: Event) -> Entry:
        if entry.task.state not in ALLOWED[event]:
            raise Fault(NOT_IN_PROGRESS, id=entry.task.id, state=entry.task.state, event=event)
        return entry

    def _when(self, due_at: float) -> tuple[State, float]:
        """What is due in the past stands by its arrival now."""
        return ("delayed", due_at) if due_at > self._now else ("ready", self._now)

    def _backoff(self, entry: Entry) -> float:
        return self._rules.backoff.delay(entry.task.attempts, self._dice)

    def _put_off(self, entry: Entry, delay: float | None, error: str) -> Task:
        """It waits again: `delay` seconds first, or for a worker at once."""
        entry.lease_tick = 0.0
        return entry.become(
            state="ready" if delay is None else "delayed",
            due_at=self._now + (delay or 0.0),
            worker="",
            lease_token="",
            lease_until=0.0,
            error=error,
            updated_at=self._now,
        )

    def _end(self, entry: Entry, state: State, error: str) -> Task:
        """However a task ends: its reader is owed an answer, its webhook a call."""
        task = entry.become(
            state=state,
            error=error,
            lease_until=0.0,
            ended_at=self._now,
            updated_at=self._now,
        )
        entry.lease_tick = 0.0
        entry.unacked = bool(task.reply_to)
        self.ended.append(task.id)
        if task.reply_to:
            self.replies.add(task.reply_to)
        if task.webhook:
            self.deliveries += 1
            self._world.calls += 1
            call_id = f"{task.id}.{self._world.calls}"
            call = Delivery(call_id, task.tenant, task.id, task.webhook, due_at=self._now)
            self._world.deliveries[call_id] = call
        return task

    def _delete(self, entries: list[Entry], limit: int) -> int:
        """Oldest end first; its result, history, idempotency entry and callbacks go with it."""
        gone = sorted(entries, key=lambda entry: entry.task.ended_at)[:limit]
        ids = {entry.task.id for entry in gone}
        for task_id in ids:
            del self._world.entries[task_id]
        for call in list(self._world.deliveries.values()):
            if call.task_id in ids:
                del self._world.deliveries[call.id]
        return len(gone)
