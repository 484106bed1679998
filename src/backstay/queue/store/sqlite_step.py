"""What is done in one commit on one SQLite connection, and the steps that operations share.

It runs inside a transaction somebody else commits. Operations look first and change afterwards, so
that a refused one has changed nothing and its neighbours in the same transaction stand.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import apsw
import msgspec

from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.queue.errors import NOT_IN_PROGRESS, TASK_NOT_FOUND
from backstay.queue.model import (
    ALLOWED,
    ANY_TENANT,
    Event,
    Holder,
    Policy,
    Rules,
    State,
    Task,
    refusal,
)
from backstay.queue.operations import Abandon, Extend, Finish, Nack
from backstay.queue.store import Expired, Happened
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_bounds import UNBOUNDED, Bounds
from backstay.queue.store.sqlite_rows import CODES, INLINE, Place, Queues, Row, tags_of
from backstay.queue.store.turns import Turns

# The newest deliveries of one task that are kept, beside the one its row tells.
HISTORY = 100


class Known(NamedTuple):
    """What the writing thread remembers of the store. After a failed commit it is read anew."""

    queues: Queues
    turns: Turns
    bounds: Bounds


class Step:
    """`now` is that of the caller whose operations run, `tick` the same for all of one commit.
    `happened` tells what they changed."""

    def __init__(
        self, db: apsw.Connection, known: Known, rules: Rules, clock: Clock, dice: Dice
    ) -> None:
        self.db = db
        self.queues, self.turns, self.bounds = known
        self.rules = rules
        self.dice = dice
        self.now = clock.now()
        self.tick = clock.tick()
        self.deliveries = 0
        self.periodics = False
        self._ready: dict[tuple[str, str], int] = {}
        self._earliest = float("inf")
        self._ended: list[str] = []
        self._replies: set[str] = set()
        self._expired: list[Expired] = []

    def happened(self) -> Happened:
        gate = self.now + self.bounds.next_gate - self.tick
        return Happened(
            ready=self._ready,
            earliest=min(self._earliest, gate),
            ended=self._ended,
            replies=frozenset(self._replies),
            expired=self._expired,
            deliveries=self.deliveries,
            periodics=self.periodics,
        )

    def recall(self) -> None:
        """What is known is read anew, by one seek per queue instead of a scan over tasks. What was
        set aside, or closed by a rate, is let through once, because what would have let it through
        may be forgotten."""
        self.queues.load(self.db)
        self.bounds.load(self.db)
        self.turns.clear()
        queue = self.db.execute(SQL["next_ready"], (0,)).get
        while queue is not None:
            tenant, command = self.queues.names[queue]
            self.turns.add(command, tenant)
            if self.bounds.policy(tenant, command) is not None:
                self.bounds.close((queue, ""), self.tick)
            queue = self.db.execute(SQL["next_ready"], (queue,)).get
        gate = self.db.execute(SQL["next_aside"], (0, "")).fetchone()
        while gate is not None:
            self.bounds.close(gate, self.tick)
            gate = self.db.execute(SQL["next_aside"], gate).fetchone()

    # --- looking -----------------------------------------------------------------------------

    def row(self, tenant: str, id: str) -> Row:
        """Raises QUEUE001."""
        values = self.db.execute(SQL["by_id"], (id,)).fetchone()
        if values is not None:
            row = self.queues.read(values)
            # Another tenant's task is as unknown as none: its id must tell nothing.
            if tenant in (ANY_TENANT, row.task.tenant):
                return row
        raise Fault(TASK_NOT_FOUND, id=id)

    def held(
        self, op: Extend | Finish | Nack | Abandon, event: Event, row: Row | None = None
    ) -> Row:
        """The task, if whoever asks may do that to it now."""
        row = row or self.row(op.tenant, op.id)
        holder = Holder(op.id, op.worker, op.token, event)
        refused = refusal(holder, row.task, living=self.tick < row.lease_tick)
        if refused is not None:
            raise refused
        return row

    def expect(self, task: Task, event: Event) -> None:
        """Raises QUEUE003."""
        if task.state not in ALLOWED[event]:
            raise Fault(NOT_IN_PROGRESS, id=task.id, state=task.state, event=event)

    def when(self, due_at: float) -> tuple[State, float]:
        """What is due in the past stands by its arrival now."""
        return ("delayed", due_at) if due_at > self.now else ("ready", self.now)

    # --- becoming ready ----------------------------------------------------------------------

    def waits(self, queue: int, task: Task) -> None:
        """The task was put into a state that waits: for a worker, or for its time."""
        if task.state == "delayed":
            self.wish(task.due_at)
        else:
            self.has_work(queue, task.tenant, task.command, key=task.key)

    def has_work(
        self, queue: int, tenant: str, command: str, count: int = 1, key: str = ""
    ) -> bool:
        """A queue has `count` more ready tasks. Who waits hears of it, as far as a claim may have
        them; whether one may."""
        self.turns.add(command, tenant)
        policy = self.bounds.policy(tenant, command)
        if policy is not None:
            count = min(count, self.room(queue, policy))
            if count <= 0 or not self.key_free(queue, key, policy):
                return False
        name = (tenant, command)
        self._ready[name] = self._ready.get(name, 0) + count
        return True

    def room(self, queue: int, policy: Policy) -> int:
        """How many tasks of the queue may be claimed now."""
        if policy.paused:
            return 0
        room = UNBOUNDED
        if policy.concurrency:
            room = policy.concurrency - self.bounds.leased(self.db, queue)
        if policy.rate and room > 0:
            allowed = self.bounds.tokens((queue, ""), policy.rate, policy.burst, self.tick)
            room = min(room, allowed)
        return room

    def key_free(self, queue: int, key: str, policy: Policy) -> bool:
        """Whether a task of this key may be claimed now, as far as its key is concerned."""
        if not key:
            return True
        if policy.key_concurrency:
            leased = self.db.execute(SQL["leased_of_key"], (key, queue)).get
            if leased >= policy.key_concurrency:
                return False
        rate = policy.key_rate
        return not rate or self.bounds.tokens((queue, key), rate, policy.burst, self.tick) > 0

    def next_of_key(self, queue: int, key: str, policy: Policy) -> Place | None:
        """One of this key was served. The next that was set aside comes as soon as it may, which is
        told by its place."""
        aside = self.db.execute(SQL["any_aside"], (queue, key)).get
        if aside is None or not self.key_free(queue, key, policy):
            return None
        found: Place | None = self.db.execute(SQL["bring_back"], (queue, key)).fetchone()
        return found

    def lifted(self, queue: int, key: str) -> bool:
        """A bound of the queue or of this key has room again; whether a task came free by it."""
        tenant, command = self.queues.names[queue]
        if key:
            self.db.execute(SQL["bring_back"], (queue, key)).fetchall()
        if self.db.execute(SQL["any_ready"], (queue,)).get is None:
            return False
        return self.has_work(queue, tenant, command)

    def open_gates(self) -> int:
        """Rates let claims through again; gives how many gates opened for a waiting task."""
        return sum(self.lifted(queue, key) for queue, key in self.bounds.opened(self.tick))

    def left(self, queue: int, task: Task, state: State) -> None:
        """The task is no longer in `state`: that may have made room for another."""
        policy = self.bounds.policy(task.tenant, task.command)
        if policy is None:
            return
        keyed = task.key if policy.key_concurrency or policy.key_rate else ""
        if state == "leased":
            self.bounds.count(queue, -1)
            if policy.concurrency or keyed:
                self.lifted(queue, keyed)
        elif state == "ready" and keyed:
            # It may have been the one of its key that was let through.
            self.lifted(queue, keyed)

    def wish(self, at: float) -> None:
        """Time has work at this wall time."""
        self._earliest = min(self._earliest, at)

    # --- the ends of a delivery --------------------------------------------------------------

    def put_off(self, row: Row, delay: float | None, attempts: int, error: str) -> Task:
        """From leased to waiting: `delay` seconds first, or for a worker at once."""
        state: State = "ready" if delay is None else "delayed"
        due_at = self.now + (delay or 0.0)
        self.db.execute(
            SQL["put_off"],
            {
                "state": CODES[state],
                "attempts": attempts,
                "due_at": due_at,
                "error": error,
                "now": self.now,
                "seq": row.seq,
            },
        )
        self.left(row.queue, row.task, "leased")
        task = msgspec.structs.replace(
            row.task,
            state=state,
            attempts=attempts,
            due_at=due_at,
            worker="",
            lease_token="",
            lease_until=0.0,
            error=error,
            updated_at=self.now,
        )
        self.waits(row.queue, task)
        return task

    def end(self, row: Row, state: State, error: str, result: str = "") -> Task:
        """However a task ends: its reader is owed an answer, its webhook a call."""
        seq, task, now = row.seq, row.task, self.now
        kept: str | None = result
        if len(result) > INLINE:
            kept = None
            self.db.execute(SQL["insert_result"], (seq, result))
        reply_to = task.reply_to
        self.db.execute(
            SQL["end"], (CODES[state], now, now, 1 if reply_to else 0, error, kept, seq)
        )
        self._ended.append(task.id)
        if reply_to:
            self._replies.add(reply_to)
        if task.webhook:
            self.db.execute(SQL["insert_delivery"], (seq, task.webhook, now))
            self.deliveries += 1
        self.wish(now + self.rules.retention)
        self.left(row.queue, task, task.state)
        return msgspec.structs.replace(
            task,
            state=state,
            error=error,
            result=result,
            lease_until=0.0,
            ended_at=now,
            updated_at=now,
        )

    def ended(self, ids: Sequence[str], replies: Iterable[str]) -> None:
        """These tasks were ended now, together."""
        self._ended.extend(ids)
        self._replies.update(replies)
        self.wish(self.now + self.rules.retention)

    def expired(self, lost: Expired) -> None:
        self._expired.append(lost)

    def remember(
        self,
        row: Row,
        outcome: Literal["nacked", "abandoned", "expired", "failed", "cancelled"],
        error: str = "",
        ended_at: float = 0.0,
    ) -> None:
        """The present delivery goes into the history: the row will tell of another."""
        task = row.task
        number = self.db.execute(SQL["last_number"], (row.seq,)).get + 1
        self.db.execute(
            SQL["insert_attempt"],
            (
                row.seq,
                number,
                task.worker,
                task.claimed_at,
                ended_at or self.now,
                outcome,
                error,
            ),
        )
        if number > HISTORY:
            self.db.execute(SQL["forget_attempts"], (row.seq, number - HISTORY))

    # --- deleting ----------------------------------------------------------------------------

    def delete(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Tasks with all that belongs to them, from rows of (seq, tags); gives how many."""
        count = 0
        for seq, tags in rows:
            for name in tags_of(tags):
                self.db.execute(SQL["delete_tag"], (name, seq))
            for statement in _DELETE:
                self.db.execute(SQL[statement], (seq,))
            count += 1
        return count


_DELETE = (
    "delete_task",
    "delete_payload",
    "delete_result",
    "delete_attempts",
    "delete_deliveries",
)
