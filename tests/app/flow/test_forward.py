"""Executions that go well, and starts that are as durable as what they came with."""

import asyncio

import pytest
from tests.app.flow.conftest import Open
from tests.app.flow.payments import LOST
from tests.app.flow.programs import (
    call,
    false,
    output,
    task,
    tries,
    with_workflow,
    workflow,
    write_down,
)
from tests.app.flow.stage import Stage

from backstay.app.store.sqlite_dialect import SQLITE
from backstay.core.errors import Fault
from backstay.lang.program import Step


async def test_an_order_is_reserved_charged_packed_and_announced(stage: Stage) -> None:
    product = await stage.product(stock=10)
    order, execution = await stage.order(product, 3)

    assert await stage.ends(execution) == "completed"

    assert stage.one("SELECT stock FROM products WHERE id = ?", product) == 7
    assert stage.all("SELECT status, parcel FROM orders WHERE id = ?", order) == [
        ("fulfilled", f"P-{order}")
    ]
    assert stage.payments.captured() == [order]
    assert stage.one("SELECT count(*) FROM notifications") == 1
    assert set(stage.steps(execution).values()) == {"done"}


async def test_the_rows_of_seed_c4_are_there_and_its_filters_use_indexes(stage: Stage) -> None:
    product = await stage.product()
    ids = [(await stage.order(product))[1] for _ in range(12)]
    await stage.ends()

    active = stage.all("SELECT * FROM workflows WHERE status='active'")
    assert [row[0] for row in active] == ["fulfil_order", "refund_order"]
    newest = (
        "SELECT * FROM executions WHERE workflow_id='fulfil_order'"
        " ORDER BY created_at DESC LIMIT 10"
    )
    assert {row[0] for row in stage.all(newest)} <= set(ids)
    if stage.database.dialect is SQLITE:
        plan = " ".join(str(row[-1]) for row in stage.all(f"EXPLAIN QUERY PLAN {newest}"))
        assert "USING INDEX executions_workflow" in plan
        assert "TEMP B-TREE" not in plan
        return
    # So few rows are read faster without an index: it shows whether one could be used.
    stage.all("SELECT set_config('enable_seqscan', 'off', false)")
    plan = " ".join(str(row[0]) for row in stage.all(f"EXPLAIN {newest}"))
    assert "Index Scan Backward using executions_workflow" in plan
    by_status = "EXPLAIN SELECT * FROM workflows WHERE status='active'"
    assert "workflows_status" in " ".join(str(row[0]) for row in stage.all(by_status))


async def test_a_start_that_rolls_back_leaves_nothing(stage: Stage) -> None:
    product = await stage.product()
    order, _ = await stage.order(product)
    await stage.ends()

    def start_and_fail(conn: object) -> None:
        stage.unit(conn).start("fulfil_order", {"order": order})  # type: ignore[arg-type]
        raise LookupError("the endpoint's own failure")

    with pytest.raises(LookupError):
        await stage.database.write(start_and_fail)
    await stage.quiet()
    assert stage.one("SELECT count(*) FROM executions") == 1


async def test_a_workflow_that_is_not_declared_cannot_be_started(stage: Stage) -> None:
    with pytest.raises(Fault) as caught:
        await stage.start("nonsense")
    assert caught.value.entry.code == "APP201"


async def test_a_start_wakes_the_runner(stage: Stage) -> None:
    stage.flow.runner.wake.clear()
    await stage.order(await stage.product())
    await asyncio.wait_for(stage.flow.runner.wake.wait(), 20)


async def test_a_step_whose_when_is_false_is_skipped_and_gives_nothing(open_stage: Open) -> None:
    steps = (
        Step("first", write_down("first")),
        Step("never", call(), when=false(), compensate=call("refund")),
        Step("last", write_down("last")),
    )
    stage = await open_stage(program=with_workflow(workflow(*steps)))
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "completed"
    assert stage.steps(execution) == {"first": "done", "never": "skipped", "last": "done"}
    assert stage.marks() == ["first", "last"]
    assert not stage.payments.requests


async def test_later_steps_see_what_earlier_ones_gave(open_stage: Open) -> None:
    steps = (
        Step("pay", call()),
        Step("pack", task()),
        Step("tell", call("refund", charge=output("pay", "charge"), box=output("pack", "parcel"))),
    )
    stage = await open_stage(program=with_workflow(workflow(*steps)))
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "completed"
    assert stage.payments.requests[-1][2] == {
        "order": "a",
        "charge": f"{execution}/pay",
        "box": "P-a",
    }


async def test_all_tries_of_a_call_send_the_same_key_and_the_same_bytes(open_stage: Open) -> None:
    steps = (Step("pay", call(), retry=tries(5)),)
    stage = await open_stage(program=with_workflow(workflow(*steps)))
    stage.payments.faults.extend([LOST, LOST, LOST])
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "completed"
    assert stage.payments.requests == [("/charges", f"{execution}/pay", {"order": "a"})] * 4
    assert stage.payments.captured() == ["a"]


async def test_many_executions_run_at_once_within_the_bound(open_stage: Open) -> None:
    stage = await open_stage(program=with_workflow(workflow(Step("pay", call()))))
    stage.flow = stage.engine(limit=4)
    await stage.flow.serve(stage.program)
    await stage.flow.start()
    stage.payments.always = "hang"
    for number in range(10):
        await stage.start("small", name=f"n{number}")
    await stage.quiet()
    assert len(stage.flow.runner.flying) == 4
    assert stage.one("SELECT count(*) FROM steps WHERE state = 'running'") == 4


async def test_what_works_at_once_leaves_no_history_beside_its_own_row(stage: Stage) -> None:
    _, execution = await stage.order(await stage.product())
    await stage.ends(execution)
    assert stage.one("SELECT count(*) FROM attempts") == 0
    assert stage.one("SELECT count(*) FROM outbox") == 0
