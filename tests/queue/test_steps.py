"""What an operation costs does not grow with the queue, nor with that of another tenant: counted in
steps of SQLite's machine, which are the same on every computer."""

from collections.abc import Callable

import apsw
import pytest

from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import Policy, Rules, Task
from backstay.queue.operations import (
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Move,
    Nack,
    Op,
    OpResult,
    Reschedule,
    SetPolicy,
)
from backstay.queue.store.sql import MIGRATIONS
from backstay.queue.store.sqlite_bounds import Bounds
from backstay.queue.store.sqlite_operations import apply
from backstay.queue.store.sqlite_rows import Queues
from backstay.queue.store.sqlite_step import Known, Step
from backstay.queue.store.turns import Turns


class Counted:
    """A store in memory that counts its steps."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for migration in MIGRATIONS:
            self.db.execute(migration)
        self.known = Known(Queues(), Turns(), Bounds())
        self.clock = VirtualClock()
        self.ids = CountingIds("c")

    def do(self, op: Op) -> OpResult:
        step = Step(self.db, self.known, Rules(), self.clock, FixedDice())
        return apply(step, op)

    def fill(self, tenant: str, count: int, **fields: object) -> None:
        for _ in range(count):
            self.do(Create(self.ids.new(), tenant, "PACK", "{}", **fields))

    def steps(self, work: Callable[[], object]) -> int:
        counted: list[int] = []
        self.db.trace_v2(
            apsw.SQLITE_TRACE_PROFILE,
            lambda event: counted.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]),
        )
        work()
        self.db.trace_v2(0)
        return sum(counted)

    def claim(self, *tenants: str) -> Task:
        found = self.do(Claim("w", (self.ids.new(),), 60.0, ("PACK",), tenants))
        assert isinstance(found, list)
        [task] = found
        assert isinstance(task, Task)
        return task


def hold(task: Task) -> dict[str, str]:
    return {"tenant": task.tenant, "id": task.id, "worker": "w", "token": task.lease_token}


def life(store: Counted) -> dict[str, int]:
    """Steps of each operation for tenant `mine`, and of a claim that serves all."""
    kept: list[Task] = []
    cost = {
        "create": store.steps(lambda: store.fill("mine", 1)),
        "claim": store.steps(lambda: kept.append(store.claim("mine"))),
        "extend": store.steps(lambda: store.do(Extend(**hold(kept[0]), seconds=60.0))),
        "finish": store.steps(lambda: store.do(Finish(**hold(kept[0]), ok=True, result="1"))),
        "claim of any": store.steps(lambda: kept.append(store.claim())),
        "nack": store.steps(lambda: store.do(Nack(**hold(kept[1]), reason="no", delay=5.0))),
    }
    store.clock.advance_now(5)
    cost["move"] = store.steps(lambda: store.do(Move()))
    later = store.clock.now() + 900
    kept.append(store.claim("mine"))
    store.fill("mine", 1)
    task = store.do(Create(store.ids.new(), "mine", "PACK", "{}"))
    assert isinstance(task, Task)
    cost["reschedule"] = store.steps(lambda: store.do(Reschedule("mine", task.id, later)))
    cost["cancel"] = store.steps(lambda: store.do(Cancel("mine", task.id)))
    return cost


@pytest.mark.parametrize("deep", ["mine", "loud"])
def test_a_deep_queue_costs_no_more_steps(deep: str):
    small, large = Counted(), Counted()
    for store, count in ((small, 20), (large, 20_000)):
        store.fill("mine", 20)
        store.fill(deep, count)
        # Some that run, that wait for their time, and that ended.
        for _ in range(count // 10):
            store.do(Finish(**hold(store.claim(deep)), ok=True))
            store.do(Nack(**hold(store.claim(deep)), reason="later", delay=9_000.0))
            store.claim(deep)
    assert life(large) == pytest.approx(life(small), rel=0.1)


def test_a_key_at_its_bound_is_passed_over_once_not_at_each_claim():
    store = Counted()
    store.do(SetPolicy(Policy("mine", "PACK", key_concurrency=1)))
    store.fill("mine", 5_000, key="hot")
    store.fill("mine", 50, key="")
    store.claim("mine")
    first = store.steps(lambda: store.claim("mine"))
    others = [store.steps(lambda: store.claim("mine")) for _ in range(20)]
    assert max(others) < first / 100
    assert max(others) < 1_000
