"""Executions that go wrong: what is undone, in which order, and what is not."""

from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.payments import BROKEN, BUSY, DECLINE, HANG, HANG_DONE, LOST
from tests.app.flow.programs import call, task, tries, with_workflow, workflow, write_down
from tests.app.flow.stage import Stage

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.lang.program import Step


async def test_a_first_step_that_fails_leaves_no_effect_and_the_reason(stage: Stage) -> None:
    product = await stage.product(stock=2)
    order, execution = await stage.order(product, 3)

    assert await stage.ends(execution) == "failed"

    assert stage.one("SELECT stock FROM products") == 2
    assert stage.one("SELECT status FROM orders WHERE id = ?", order) == "cancelled"
    assert "is out of stock" in str(stage.one("SELECT error FROM executions"))
    assert not stage.payments.requests


async def test_a_refused_charge_undoes_the_reservation_and_refunds_nothing(stage: Stage) -> None:
    stage.payments.faults.append(DECLINE)
    product = await stage.product(stock=5)
    order, execution = await stage.order(product, 3)

    assert await stage.ends(execution) == "compensated"

    assert stage.one("SELECT stock FROM products") == 5
    assert [path for path, _, _ in stage.payments.requests] == ["/charges"]
    assert stage.steps(execution)["charge"] == "failed"
    assert "402" in str(stage.one("SELECT error FROM executions"))
    assert stage.one("SELECT status FROM orders WHERE id = ?", order) == "cancelled"


async def test_a_charge_of_unknown_outcome_is_refunded_with_its_own_key(stage: Stage) -> None:
    stage.payments.faults.extend([LOST] * 4)
    product = await stage.product(stock=5)
    _, execution = await stage.order(product)

    assert await stage.ends(execution) == "compensated"

    assert stage.payments.captured() == []
    assert {key for _, key, _ in stage.payments.requests} == {f"{execution}/charge"}
    assert [path for path, _, _ in stage.payments.requests] == ["/charges"] * 4 + ["/refunds"]
    assert stage.steps(execution)["charge"] == "unknown"
    assert stage.one("SELECT stock FROM products") == 5


async def test_a_charge_that_never_arrived_but_might_have_is_forbidden_for_good(
    stage: Stage,
) -> None:
    stage.payments.faults.extend([HANG] * 4)
    _, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    assert [path for path, _, _ in stage.payments.requests][-1] == "/refunds"


async def test_a_doubtful_try_followed_by_a_refusal_is_still_undone(stage: Stage) -> None:
    stage.payments.faults.extend([HANG_DONE, DECLINE])
    _, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "compensated"
    assert stage.steps(execution)["charge"] == "unknown"
    assert stage.payments.captured() == []


async def test_a_slow_charge_that_was_done_is_found_by_its_key(stage: Stage) -> None:
    stage.payments.faults.append(HANG_DONE)
    order, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "completed"
    assert stage.payments.captured() == [order]
    assert stage.all("SELECT attempt, outcome FROM attempts") == [(1, "unknown")]


async def test_retry_after_puts_the_next_try_off(stage: Stage) -> None:
    stage.payments.faults.append(BUSY)
    _, execution = await stage.order(await stage.product())
    await stage.quiet()
    began = stage.clock.tick()

    assert await stage.ends(execution) == "completed"
    assert stage.clock.tick() - began >= 3.0
    assert stage.all("SELECT outcome FROM attempts") == [("failed",)]


async def test_compensations_run_newest_first_and_on_fail_last(open_stage: Open) -> None:
    steps = (
        Step("one", write_down("one"), compensate=write_down("undo one")),
        Step("two", write_down("two")),
        Step("three", write_down("three"), compensate=write_down("undo three")),
        Step("four", call()),
    )
    stage = await open_stage(program=with_workflow(workflow(*steps, on_fail=True)))
    stage.payments.faults.append(DECLINE)
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "compensated"
    assert stage.marks() == ["one", "two", "three", "undo three", "undo one", "on_fail"]


async def test_a_compensation_is_tried_until_it_works(stage: Stage) -> None:
    stage.payments.faults.extend([LOST] * 4 + [BROKEN, DECLINE] * 15)
    product = await stage.product(stock=5)
    _, execution = await stage.order(product)

    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    refunds = [key for path, key, _ in stage.payments.requests if path == "/refunds"]
    assert len(refunds) > 15
    assert set(refunds) == {f"{execution}/charge"}


async def test_a_compensation_that_never_works_ends_loudly_after_the_others(
    stage: Stage, monkeypatch: object
) -> None:
    from backstay.app.flow import model

    few = model.Tries(3, model.COMPENSATION)
    monkeypatch.setattr(model, "FOR_COMPENSATIONS", few)  # type: ignore[attr-defined]
    stage.payments.faults.extend([LOST] * 4)
    stage.payments.always = BROKEN
    product = await stage.product(stock=5)
    _, execution = await stage.order(product)

    assert await stage.ends(execution) == "compensation_failed"
    assert stage.one("SELECT stock FROM products") == 5
    counted = stage.registry.counter("workflow_executions_total")
    assert counted.value("fulfil_order", "compensation_failed") == 1
    health = stage.flow.checks[0]
    assert (await health.run()).outcome == "warn"

    stage.payments.always = "ok"
    await stage.flow.order(execution, "compensate")
    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    assert (await health.run()).outcome == "pass"


async def test_a_worker_that_fails_is_tried_again_and_then_undone(open_stage: Open) -> None:
    def broken(call: OutsideCall) -> OutsideResult:
        return OutsideResult(call.key, False, error="no boxes left")

    stage = await open_stage(carrier=Carrier(broken))
    product = await stage.product(stock=5)
    _, execution = await stage.order(product)

    assert await stage.ends(execution) == "compensated"
    assert stage.carrier.sent == [f"{execution}/pack/{n}" for n in (1, 2, 3)]
    assert stage.payments.captured() == []
    assert stage.one("SELECT stock FROM products") == 5
    assert "no boxes left" in str(stage.one("SELECT error FROM executions"))


async def test_a_worker_that_says_nothing_is_given_up_by_timer_and_counts_as_unknown(
    open_stage: Open,
) -> None:
    steps = (Step("work", task(), timeout=600.0, retry=tries(2), compensate=task("UNDO")),)

    def silent(call: OutsideCall) -> OutsideResult | None:
        return OutsideResult(call.key, True, "{}") if call.command == "UNDO" else None

    stage = await open_stage(
        program=with_workflow(workflow(*steps, timeout=7200.0)), carrier=Carrier(silent)
    )
    execution = await stage.start("small", name="a")

    assert await stage.ends(execution) == "compensated"
    assert stage.steps(execution) == {"work": "unknown"}
    assert stage.carrier.cancelled == [f"{execution}/work/1", f"{execution}/work/2"]
    assert stage.carrier.worked[f"{execution}/work/compensate/1"] == 1


async def test_a_workflow_out_of_time_is_undone(open_stage: Open) -> None:
    steps = (
        Step("one", write_down("one"), compensate=write_down("undo one")),
        Step("two", task(), retry=tries(1)),
    )
    stage = await open_stage(
        program=with_workflow(workflow(*steps, timeout=120.0)), carrier=Carrier(lambda _call: None)
    )
    execution = await stage.start("small", name="a")
    await stage.quiet()
    began = stage.clock.tick()

    assert await stage.ends(execution) == "compensated"
    assert 120.0 <= stage.clock.tick() - began < 140.0
    assert stage.marks() == ["one", "undo one"]
    assert "2m0s" in str(stage.one("SELECT error FROM executions"))


async def test_a_jump_of_the_wall_clock_ends_nothing(open_stage: Open) -> None:
    steps = (Step("work", task()),)
    stage = await open_stage(
        program=with_workflow(workflow(*steps, timeout=120.0)), carrier=Carrier(lambda _call: None)
    )
    execution = await stage.start("small", name="a")
    await stage.quiet()
    stage.clock.jump(86400.0)
    await stage.clock.advance(60.0)
    await stage.quiet()
    assert stage.steps(execution) == {"work": "waiting"}
