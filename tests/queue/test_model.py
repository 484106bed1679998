"""The states as one table: whatever happens in whatever order, engine and table agree.

The model below knows nothing of SQL: a dictionary per task and the rules of decisions 1 to 4.
"""

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import Rules, Task
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Move,
    Nack,
    Op,
    OpResult,
)
from backstay.queue.store.sqlite import SqliteEngine

DELAY = 10.0
LEASE = 30.0
WORKERS = st.sampled_from(["anna", "bob"])


class Known:
    """What the table says of one task."""

    def __init__(self, arrival: int, priority: int, due: float, limit: int) -> None:
        self.arrival, self.priority, self.due, self.limit = arrival, priority, due, limit
        self.state = "ready"
        self.attempts = 0
        self.worker = self.token = ""
        self.lease_end = 0.0


class QueueMachine(RuleBasedStateMachine):
    """Operations in any order on a real engine, compared with the table after each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock(now=1_000_000.0)
        self.ids = CountingIds()
        self.rules_ = Rules(backoff=Backoff("fixed", DELAY, DELAY), retention=1e9)
        self.engine = self._engine()
        self.table: dict[str, Known] = {}
        self.old_tokens: list[tuple[str, str, str]] = []

    def _engine(self) -> SqliteEngine:
        path = Path(self.folder.name) / "queue.db"
        engine = SqliteEngine(path, self.rules_, self.clock, FixedDice(), "process")
        self.run(engine.open())
        return engine

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def one(self, op: Op) -> OpResult:
        return self.run(self.engine.apply([op], self.clock.now()))[0]

    def teardown(self) -> None:
        self.run(self.engine.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    # --- what happens ------------------------------------------------------------------------

    @rule(
        priority=st.integers(0, 2),
        wait=st.sampled_from([0.0, 0.0, 20.0]),
        limit=st.integers(1, 3),
    )
    def create(self, priority: int, wait: float, limit: int) -> None:
        now = self.clock.now()
        task = self.one(
            Create(
                self.ids.new(),
                "t",
                "C",
                "{}",
                priority=priority,
                max_attempts=limit,
                due_at=now + wait if wait else 0.0,
            )
        )
        assert isinstance(task, Task)
        known = Known(len(self.table), priority, now + wait, limit)
        known.state = "delayed" if wait else "ready"
        self.table[task.id] = known

    @rule(worker=WORKERS, count=st.integers(1, 3))
    def claim(self, worker: str, count: int) -> None:
        ready = [
            (task_id, known) for task_id, known in self.table.items() if known.state == "ready"
        ]
        ready.sort(key=lambda one: (-one[1].priority, one[1].due, one[1].arrival))
        expected = [task_id for task_id, _ in ready[:count]]
        tokens = tuple(self.ids.new() for _ in range(count))
        tasks = self.one(Claim(worker, tokens, LEASE, count=count))
        assert isinstance(tasks, list)
        assert [task.id for task in tasks] == expected
        for task in tasks:
            known = self.table[task.id]
            known.state, known.worker, known.token = "leased", worker, task.lease_token
            known.attempts += 1
            known.lease_end = self.clock.tick() + LEASE
            self.old_tokens.append((task.id, worker, task.lease_token))

    @precondition(lambda self: self.old_tokens)
    @rule(
        data=st.data(),
        act=st.sampled_from(["finish", "nack", "abandon", "extend"]),
        show=st.sampled_from(["token", "nothing", "rubbish"]),
        stranger=st.booleans(),
    )
    def act(self, data: st.DataObject, act: str, show: str, stranger: bool) -> None:
        task_id, worker, token = data.draw(st.sampled_from(self.old_tokens))
        worker = "mallory" if stranger else worker
        token = {"token": token, "nothing": "", "rubbish": "x"}[show]
        known = self.table[task_id]
        allowed = (
            known.state == "leased"
            and known.worker == worker
            and (token == known.token if token else self.clock.tick() < known.lease_end)
        )
        repeated = (
            act == "finish"
            and known.state == "completed"
            and (worker, token) == (known.worker, known.token)
        )
        result = self.one(_OPS[act](task_id, worker, token))
        assert isinstance(result, Task if allowed or repeated else Fault), (act, show, result)
        if allowed:
            self._changed(known, act)

    def _changed(self, known: Known, act: str) -> None:
        if act == "finish":
            known.state = "completed"
        elif act == "extend":
            known.lease_end = self.clock.tick() + LEASE
        elif act == "abandon":
            known.attempts -= 1
            known.state, known.due = "delayed", self.clock.now() + 1.0
        else:
            self._retry(known)

    def _retry(self, known: Known) -> None:
        if known.attempts >= known.limit:
            known.state = "dead"
        else:
            known.state, known.due = "delayed", self.clock.now() + DELAY

    def _expire(self, known: Known) -> None:
        if known.attempts == 1 < known.limit:
            known.state, known.due = "ready", self.clock.now()
        else:
            self._retry(known)

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.table)))
        known = self.table[task_id]
        fine = known.state in ("ready", "delayed", "leased", "cancelled")
        assert isinstance(self.one(Cancel("t", task_id)), Task if fine else Fault)
        if fine:
            known.state = "cancelled"

    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance_now(seconds)
        self.one(Move())
        now, tick = self.clock.now(), self.clock.tick()
        for known in self.table.values():
            if known.state == "delayed" and known.due <= now:
                known.state = "ready"
            elif known.state == "leased" and known.lease_end <= tick:
                self._expire(known)

    @rule()
    def restart(self) -> None:
        self.run(self.engine.close())
        self.engine = self._engine()

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def every_task_is_where_the_table_says(self) -> None:
        for task_id, known in self.table.items():
            task = self.run(self.engine.task("t", task_id))
            assert task is not None
            assert (task.state, task.attempts) == (known.state, known.attempts), task_id

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        assert self.run(self.engine.audit(repair=False)) == []


_OPS: dict[str, Any] = {
    "finish": lambda task_id, worker, token: Finish(
        "t", task_id, worker, token, ok=True, result="{}"
    ),
    "nack": lambda task_id, worker, token: Nack("t", task_id, worker, token, "no"),
    "abandon": lambda task_id, worker, token: Abandon("t", task_id, worker, token),
    "extend": lambda task_id, worker, token: Extend("t", task_id, worker, token, LEASE),
}

TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
