"""The queue's operations on one SQLite connection, inside a transaction somebody else commits.

Each looks first and changes afterwards, so that a refused operation has changed nothing and its
neighbours in the same transaction stand.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import apsw
import msgspec

from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.queue.errors import IDEMPOTENCY_CONFLICT, NOT_IN_PROGRESS, TASK_NOT_FOUND
from backstay.queue.model import (
    ALLOWED,
    ANY_TENANT,
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Event,
    Extend,
    Finish,
    Holder,
    Move,
    Nack,
    Op,
    OpResult,
    Purge,
    Redrive,
    Rules,
    State,
    Task,
    refusal,
    same_result,
    tries_left,
)
from backstay.queue.store import Expired, Happened
from backstay.queue.store.sql import SQL
from backstay.queue.store.turns import Turns

LEASE_EXPIRED = "LEASE_EXPIRED"
MAX_ATTEMPTS = "MAX_ATTEMPTS"


class Row(NamedTuple):
    """A task with what only the engine knows of it."""

    seq: int
    task: Task
    lease_tick: float


def read_row(values: tuple[Any, ...]) -> Row:
    """From the columns of `sql.COLUMNS`."""
    return Row(values[0], Task(*values[1:-1]), values[-1])


class Operations:
    """One apply: `now` and `tick` are the same for all of it. `happened` tells what it changed."""

    def __init__(
        self,
        db: apsw.Connection,
        rules: Rules,
        turns: Turns,
        clock: Clock,
        dice: Dice,
        now: float,
    ) -> None:
        self._db = db
        self._rules = rules
        self._turns = turns
        self._dice = dice
        self._now = now
        self._tick = clock.tick()
        self._ready: dict[tuple[str, str], int] = {}
        self._earliest = float("inf")
        self._ended: list[str] = []
        self._replies: set[str] = set()
        self._expired: list[Expired] = []

    def apply(self, op: Op) -> OpResult:
        """Its result, or its own Fault."""
        run: Callable[[Any], OpResult] = getattr(self, _METHODS[type(op)])
        try:
            return run(op)
        except Fault as refused:
            return refused

    def happened(self) -> Happened:
        return Happened(
            ready=self._ready,
            earliest=self._earliest,
            ended=self._ended,
            replies=frozenset(self._replies),
            expired=self._expired,
        )

    # --- the operations ----------------------------------------------------------------------

    def create(self, op: Create) -> OpResult:
        if op.idempotency_key:
            known = self._db.execute(
                SQL["by_key"], (op.tenant, op.command, op.idempotency_key)
            ).fetchone()
            if known is not None:
                return self._again(op, *known)
        delayed = op.due_at > self._now
        state: State = "delayed" if delayed else "ready"
        task = Task(
            id=op.id,
            tenant=op.tenant,
            command=op.command,
            payload=op.payload,
            state=state,
            created_at=self._now,
            updated_at=self._now,
            priority=op.priority,
            max_attempts=op.max_attempts,
            due_at=op.due_at if delayed else self._now,
            idempotency_key=op.idempotency_key,
            reply_to=op.reply_to,
            webhook=op.webhook,
        )
        values = msgspec.structs.asdict(task)
        self._db.execute(SQL["insert"], {**values, "now": self._now, "fingerprint": op.fingerprint})
        seq = self._db.last_insert_rowid()
        self._db.execute(SQL["insert_payload"], (seq, op.payload))
        if delayed:
            self._earliest = min(self._earliest, op.due_at)
        else:
            self._has_work(op.tenant, op.command)
        return task

    def claim(self, op: Claim) -> OpResult:
        taken: list[Task] = []
        tokens = iter(op.tokens)
        for command in op.commands or self._turns.commands():
            while len(taken) < op.count:
                tenants = self._turns.tenants(command, op.tenants)
                if not tenants:
                    break
                share = max(1, (op.count - len(taken)) // len(tenants))
                for tenant in tenants:
                    wanted = min(share, op.count - len(taken))
                    rows = self._pick(command, tenant, wanted)
                    taken += [self._lease(op, row, next(tokens)) for row in rows]
        return taken

    def extend(self, op: Extend) -> OpResult:
        row = self._held(op, "extend")
        until = self._now + op.seconds
        self._db.execute(
            SQL["extend"],
            {
                "until": until,
                "seconds": op.seconds,
                "tick": self._tick + op.seconds,
                "now": self._now,
                "seq": row.seq,
            },
        )
        self._earliest = min(self._earliest, until)
        return msgspec.structs.replace(row.task, lease_until=until, updated_at=self._now)

    def finish(self, op: Finish) -> OpResult:
        row = self._row(op.tenant, op.id)
        if same_result(op, row.task):
            return row.task
        row = self._held(op, "finish", row)
        if op.result:
            self._db.execute(SQL["insert_result"], (row.seq, op.result))
        ended = self._end(row, "completed" if op.ok else "failed", op.error)
        return msgspec.structs.replace(ended, result=op.result)

    def nack(self, op: Nack) -> OpResult:
        row = self._held(op, "nack")
        if not tries_left(row.task):
            return self._end(row, "dead", op.reason or MAX_ATTEMPTS)
        delay = op.delay
        if delay is None:
            delay = self._rules.backoff.delay(row.task.attempts, self._dice)
        return self._put_off(row, delay, row.task.attempts, op.reason)

    def abandon(self, op: Abandon) -> OpResult:
        row = self._held(op, "abandon")
        given_back = max(0, row.task.attempts - 1)
        return self._put_off(row, self._rules.abandon_delay, given_back, row.task.error)

    def cancel(self, op: Cancel) -> OpResult:
        row = self._row(op.tenant, op.id)
        if row.task.state == "cancelled":
            return row.task
        self._expect(row.task, "cancel")
        return self._end(row, "cancelled", op.reason)

    def redrive(self, op: Redrive) -> OpResult:
        row = self._row(op.tenant, op.id)
        self._expect(row.task, "redrive")
        self._db.execute(SQL["delete_result"], (row.seq,))
        self._db.execute(SQL["redrive"], {"now": self._now, "seq": row.seq})
        self._has_work(row.task.tenant, row.task.command)
        return self._row(op.tenant, op.id).task

    def move(self, op: Move) -> OpResult:
        due = self._db.execute(SQL["due_tasks"], (self._now, op.limit)).fetchall()
        for seq, tenant, command in due:
            self._db.execute(SQL["make_ready"], {"now": self._now, "seq": seq})
            self._has_work(str(tenant), str(command))
        late = self._db.execute(SQL["ended_leases"], (self._tick, op.limit)).fetchall()
        for values in late:
            self._expire(read_row(values))
        before = self._now - self._rules.retention
        old = self._db.execute(SQL["past_retention"], (before, op.limit)).fetchall()
        return len(due) + len(late) + self._delete(old)

    def purge(self, op: Purge) -> OpResult:
        chosen = self._db.execute(
            SQL["purgeable"],
            {"before": op.before, "tenant": op.tenant, "command": op.command, "limit": op.limit},
        )
        return self._delete(chosen.fetchall())

    def ack(self, op: Ack) -> OpResult:
        count = 0
        named = {"now": self._now, "reply_to": op.reply_to, "tenant": op.tenant}
        for task_id in op.ids:
            self._db.execute(SQL["ack"], {**named, "id": task_id})
            count += self._db.changes()
        return count

    # --- the steps they share ----------------------------------------------------------------

    def _again(self, op: Create, fingerprint: str, id: str) -> Task:
        if fingerprint != op.fingerprint:
            raise Fault(IDEMPOTENCY_CONFLICT, key=op.idempotency_key, command=op.command, id=id)
        return self._row(op.tenant, id).task

    def _row(self, tenant: str, id: str) -> Row:
        values = self._db.execute(SQL["by_id"], (id,)).fetchone()
        # Another tenant's task is as unknown as none: its id must tell nothing.
        if values is None or tenant not in (ANY_TENANT, values[2]):
            raise Fault(TASK_NOT_FOUND, id=id)
        return read_row(values)

    def _held(
        self, op: Extend | Finish | Nack | Abandon, event: Event, row: Row | None = None
    ) -> Row:
        row = row or self._row(op.tenant, op.id)
        holder = Holder(op.id, op.worker, op.token, event)
        refused = refusal(holder, row.task, living=self._tick < row.lease_tick)
        if refused is not None:
            raise refused
        return row

    def _expect(self, task: Task, event: Event) -> None:
        if task.state not in ALLOWED[event]:
            raise Fault(NOT_IN_PROGRESS, id=task.id, state=task.state, event=event)

    def _pick(self, command: str, tenant: str, wanted: int) -> list[Row]:
        if not wanted:
            return []
        rows = self._db.execute(SQL["pick"], (command, tenant, wanted)).fetchall()
        if len(rows) < wanted:
            self._turns.drop(command, tenant)
        else:
            self._turns.served(command, tenant)
        return [read_row(values) for values in rows]

    def _lease(self, op: Claim, row: Row, token: str) -> Task:
        until = self._now + op.lease_seconds
        self._db.execute(
            SQL["lease"],
            {
                "worker": op.worker,
                "token": token,
                "until": until,
                "seconds": op.lease_seconds,
                "tick": self._tick + op.lease_seconds,
                "now": self._now,
                "seq": row.seq,
            },
        )
        self._earliest = min(self._earliest, until)
        return msgspec.structs.replace(
            row.task,
            state="leased",
            attempts=row.task.attempts + 1,
            worker=op.worker,
            lease_token=token,
            lease_until=until,
            updated_at=self._now,
        )

    def _put_off(self, row: Row, delay: float, attempts: int, error: str) -> Task:
        due_at = self._now + delay
        self._db.execute(
            SQL["put_off"],
            {
                "attempts": attempts,
                "due_at": due_at,
                "error": error,
                "now": self._now,
                "seq": row.seq,
            },
        )
        self._earliest = min(self._earliest, due_at)
        return msgspec.structs.replace(
            row.task,
            state="delayed",
            attempts=attempts,
            due_at=due_at,
            worker="",
            lease_token="",
            lease_until=0.0,
            error=error,
            updated_at=self._now,
        )

    def _end(self, row: Row, state: State, error: str) -> Task:
        self._db.execute(
            SQL["end"], {"state": state, "error": error, "now": self._now, "seq": row.seq}
        )
        self._ended.append(row.task.id)
        if row.task.reply_to:
            self._replies.add(row.task.reply_to)
        self._earliest = min(self._earliest, self._now + self._rules.retention)
        return msgspec.structs.replace(
            row.task,
            state=state,
            error=error,
            lease_until=0.0,
            ended_at=self._now,
            updated_at=self._now,
        )

    def _expire(self, row: Row) -> None:
        dead = not tries_left(row.task)
        if dead:
            self._end(row, "dead", LEASE_EXPIRED)
        else:
            delay = self._rules.backoff.delay(row.task.attempts, self._dice)
            self._put_off(row, delay, row.task.attempts, LEASE_EXPIRED)
        task = row.task
        self._expired.append(Expired(task.id, task.command, task.worker, task.attempts, dead))

    def _delete(self, rows: list[Any]) -> int:
        for (seq,) in rows:
            for statement in ("delete_task", "delete_payload", "delete_result"):
                self._db.execute(SQL[statement], (seq,))
        return len(rows)

    def _has_work(self, tenant: str, command: str) -> None:
        self._turns.add(command, tenant)
        key = (tenant, command)
        self._ready[key] = self._ready.get(key, 0) + 1


_METHODS: dict[type, str] = {
    Create: "create",
    Claim: "claim",
    Extend: "extend",
    Finish: "finish",
    Nack: "nack",
    Abandon: "abandon",
    Cancel: "cancel",
    Move: "move",
    Redrive: "redrive",
    Purge: "purge",
    Ack: "ack",
}
