"""Death at any moment: what was under way is unknown, what was committed stands."""

import asyncio
from pathlib import Path

import apsw
import pytest
from tests.app.flow.conftest import Open
from tests.app.flow.payments import HANG_DONE, Payments
from tests.app.flow.programs import call, task, tries, with_workflow, workflow, write_down
from tests.app.flow.stage import Stage

from backstay.app.flow import machine
from backstay.app.flow.engine import Flow
from backstay.app.flow.model import Outcome
from backstay.app.flow.rows import Execution
from backstay.app.flow.turn import Claim, Turn
from backstay.lang.program import Step


async def test_a_call_cut_off_by_a_crash_is_unknown_and_tried_again_with_its_key(
    stage: Stage,
) -> None:
    stage.payments.faults.append(HANG_DONE)
    order, execution = await stage.order(await stage.product())
    await stage.quiet()
    assert stage.steps(execution)["charge"] == "running"

    await stage.restart()

    assert await stage.ends(execution) == "completed"
    assert stage.payments.captured() == [order]
    assert stage.all("SELECT attempt, outcome FROM attempts") == [(1, "unknown")]


async def test_a_crash_during_the_last_try_is_undone(open_stage: Open) -> None:
    steps = (Step("pay", call(), retry=tries(1), compensate=call("refund")),)
    stage = await open_stage(program=with_workflow(workflow(*steps)))
    stage.payments.faults.append(HANG_DONE)
    execution = await stage.start("small", name="a")
    await stage.quiet()
    assert stage.payments.captured() == ["a"]

    await stage.restart()

    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []


async def test_a_lease_of_another_living_process_is_left_alone_until_it_was_watched_to_its_end(
    stage: Stage,
) -> None:
    stage.payments.faults.append(HANG_DONE)
    _, execution = await stage.order(await stage.product())
    await stage.quiet()
    other = stage.engine(sole=False)
    await other.serve(stage.program)
    await other.start()

    await other.sweeper.step()
    stage.clock.jump(86400.0)
    stage.clock.advance_now(16.0)
    await other.sweeper.step()
    assert stage.steps(execution)["charge"] == "running"

    stage.clock.advance_now(2.0)
    await other.sweeper.step()
    assert stage.all("SELECT attempt, outcome FROM attempts") == [(1, "unknown")]


async def test_an_outcome_that_comes_after_its_lease_changes_nothing(stage: Stage) -> None:
    stage.payments.faults.append(HANG_DONE)
    _, execution = await stage.order(await stage.product())
    await stage.quiet()
    other = stage.engine()
    await other.serve(stage.program)
    await other.start()
    await other.sweeper.step()
    assert stage.steps(execution)["charge"] == "pending"
    old = stage.flow
    stage.flow = other
    stage.payments._release.set()
    while old.runner.flying:
        await asyncio.sleep(0.001)

    assert await stage.ends(execution) == "completed"
    assert len(stage.payments.captured()) == 1


async def test_two_runners_on_one_database_never_run_a_step_twice(stage: Stage) -> None:
    product = await stage.product(stock=1000)
    orders = [await stage.order(product) for _ in range(40)]
    other = stage.engine(sole=False)
    await other.serve(stage.program)
    await other.start()
    deadline = asyncio.get_running_loop().time() + 20

    async def drive(flow: Flow) -> None:
        while any(s != "completed" for s in stage._statuses(())):
            for loop in flow.loops:
                if loop.name != "sweeper":
                    await loop.step()
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0)

    await asyncio.gather(drive(stage.flow), drive(other))

    keys = [key for _, key, _ in stage.payments.requests]
    assert sorted(keys) == sorted(f"{execution}/charge" for _, execution in orders)
    assert stage.one("SELECT stock FROM products") == 1000 - 40
    assert stage.one("SELECT count(*) FROM notifications") == 40
    assert stage.one("SELECT count(*) FROM attempts") == 0
    await other.drain(0.0)
    await other.stop()


async def test_a_drain_lets_calls_end_and_claims_no_more(stage: Stage, payments: Payments) -> None:
    payments.faults.append(HANG_DONE)
    _, execution = await stage.order(await stage.product())
    await stage.quiet()
    draining = asyncio.create_task(stage.flow.drain(10.0))
    await asyncio.sleep(0)
    _, late = await stage.order(await stage.product())
    await stage.clock.advance(1.9)
    assert not draining.done()
    await stage.clock.advance(0.2)
    async with asyncio.timeout(30):
        await draining
    await stage.flow.runner.step()

    assert stage.steps(execution)["charge"] == "pending"
    assert stage.steps(late) == {"reserve": "pending"}


async def test_executions_of_an_old_program_go_on_by_it(open_stage: Open) -> None:
    old = with_workflow(
        workflow(
            Step("one", write_down("old one")),
            Step("wait", task()),
            Step("two", write_down("old two")),
        ),
        hash="a" * 64,
    )
    new = with_workflow(workflow(Step("one", write_down("new"))), hash="b" * 64)
    stage = await open_stage(program=old)
    stage.carrier.down = True
    execution = await stage.start("small", name="a")
    await stage.quiet()

    stage.flow = stage.engine()
    await stage.flow.serve(new)
    await stage.flow.start()
    stage.carrier.down = False
    assert await stage.ends(execution) == "completed"
    assert stage.marks() == ["old one", "old two"]

    stage.program = new
    assert await stage.ends(await stage.start("small", name="b")) == "completed"
    assert stage.marks() == ["old one", "old two", "new"]


async def test_executions_whose_program_is_missing_wait_and_say_so(open_stage: Open) -> None:
    old = with_workflow(workflow(Step("one", write_down("one"))), hash="a" * 64)
    stage = await open_stage(program=old)
    execution = await stage.start("small", name="a")
    stage.program = with_workflow(workflow(Step("one", write_down("new"))), hash="b" * 64)
    await stage.restart()
    await stage.quiet()

    assert stage.steps(execution) == {"one": "pending"}
    assert "is not stored" in str(stage.one("SELECT error FROM steps"))
    stage.program = old
    await stage.restart()
    assert await stage.ends(execution) == "completed"


class Locking:
    """Locks the database, as another program could, in the moment a call has come back."""

    def __init__(self, stage: Stage) -> None:
        self._inner = stage.flow.integrations
        self.locker = apsw.Connection(stage.database.where)
        self.locked = asyncio.Event()

    async def call(self, claim: Claim) -> Outcome:
        outcome = await self._inner.call(claim)
        self.locker.execute("BEGIN IMMEDIATE").fetchall()
        self.locked.set()
        return outcome


async def test_an_outcome_that_the_store_does_not_take_is_kept_until_it_does(
    tmp_path: Path, payments: Payments
) -> None:
    stage = Stage(tmp_path, payments)
    await stage.open()
    order, execution = await stage.order(await stage.product())
    locking = Locking(stage)
    stage.flow.runner._caller = locking
    await stage.flow.runner.step()
    async with asyncio.timeout(30):
        await locking.locked.wait()
        while all(woken.done() for _, _, woken in stage.clock._sleepers):
            await asyncio.sleep(0.01)  # until the runner waits for its next try to store it
    assert stage.steps(execution)["charge"] == "running"
    locking.locker.execute("ROLLBACK").fetchall()
    await stage.clock.advance(1.0)

    assert await stage.ends(execution) == "completed"
    assert stage.payments.captured() == [order]
    assert stage.one("SELECT count(*) FROM attempts") == 0
    await stage.close()


async def test_a_mistake_of_ours_in_one_step_stops_no_other(
    open_stage: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await open_stage(program=with_workflow(workflow(Step("one", write_down("one")))))
    settle = machine.settle

    def broken(turn: Turn, row: Execution, *rest: object) -> None:
        if row.input == '{"name":"bad"}':
            raise AssertionError("a mistake of ours")
        settle(turn, row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(machine, "settle", broken)
    bad = await stage.start("small", name="bad")
    good = await stage.start("small", name="good")
    assert await stage.ends(good) == "completed"
    assert stage.steps(bad) == {"one": "pending"}
    assert stage.marks() == ["one"]

    monkeypatch.undo()
    assert await stage.ends(bad) == "completed"
