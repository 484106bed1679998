"""Work for outside workers, over a queue that loses, repeats and delays."""

import json

from tests.app.flow.carrier import Carrier, parcel
from tests.app.flow.conftest import Open
from tests.app.flow.programs import task, tries, with_workflow, workflow, write_down
from tests.app.flow.stage import Stage

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.lang.program import Step


async def test_a_call_that_the_queue_lost_is_sent_again_under_its_key(stage: Stage) -> None:
    stage.carrier.lose = 2
    _, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "completed"
    assert stage.carrier.sent == [f"{execution}/pack/1"] * 3


async def test_an_answer_that_comes_three_times_counts_once(stage: Stage) -> None:
    stage.carrier.copies = 3
    _, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "completed"
    assert stage.one("SELECT count(*) FROM notifications") == 1
    assert stage.one("SELECT count(*) FROM inbox") == 1


async def test_an_ack_that_gets_lost_brings_the_answer_again_and_changes_nothing(
    stage: Stage,
) -> None:
    stage.carrier.forget_acks = 1
    _, execution = await stage.order(await stage.product())

    assert await stage.ends(execution) == "completed"
    await stage.restart()
    await stage.quiet()
    assert await stage.carrier.outcomes(0.0) == []
    assert stage.one("SELECT count(*) FROM notifications") == 1


async def test_while_the_queue_is_down_calls_wait_and_nothing_else_does(stage: Stage) -> None:
    stage.carrier.down = True
    order, execution = await stage.order(await stage.product())
    await stage.quiet()
    await stage.clock.advance(30.0)
    await stage.quiet()
    assert stage.payments.captured() == [order]
    assert stage.steps(execution)["pack"] == "waiting"

    stage.carrier.down = False
    assert await stage.ends(execution) == "completed"
    assert stage.carrier.sent == [f"{execution}/pack/1"]


async def test_a_late_success_of_an_earlier_try_ends_the_step_and_takes_the_later_call_back(
    open_stage: Open,
) -> None:
    steps = (
        Step("work", task(), timeout=60.0, retry=tries(3, initial=5.0)),
        Step("after", write_down("after")),
    )
    stage = await open_stage(
        program=with_workflow(workflow(*steps)), carrier=Carrier(lambda _call: None)
    )
    execution = await stage.start("small", name="a")
    await stage.until(lambda: f"{execution}/work/2" in stage.carrier.sent)

    stage.carrier.worker = parcel
    late = OutsideCall(f"{execution}/work/1", "WORK", json.dumps({"order": "a"}), 0.0)
    stage.carrier.work(late)

    assert await stage.ends(execution) == "completed"
    assert f"{execution}/work/2" in stage.carrier.cancelled
    assert stage.marks() == ["after"]


async def test_a_late_failure_of_an_earlier_try_is_nothing(open_stage: Open) -> None:
    steps = (Step("work", task(), timeout=60.0, retry=tries(3, initial=5.0)),)
    stage = await open_stage(
        program=with_workflow(workflow(*steps)), carrier=Carrier(lambda _call: None)
    )
    execution = await stage.start("small", name="a")
    await stage.until(lambda: f"{execution}/work/2" in stage.carrier.sent)
    await stage.flow._inbox.take([OutsideResult(f"{execution}/work/1", False, error="late")])  # type: ignore[union-attr]

    assert stage.steps(execution) == {"work": "waiting"}
    assert stage.one("SELECT used FROM inbox") == 0


async def test_an_answer_for_nobody_is_kept_and_acknowledged(stage: Stage) -> None:
    stage.carrier.worker = parcel
    stage.carrier.work(OutsideCall("gone/pack/1", "PACK_ORDER", '{"order": "x"}', 0.0))
    await stage.quiet()
    assert stage.all("SELECT key, used FROM inbox") == [("gone/pack/1", 0)]
    assert await stage.carrier.outcomes(0.0) == []


async def test_a_worker_may_answer_in_plain_text(open_stage: Open) -> None:
    def plain(call: OutsideCall) -> OutsideResult:
        return OutsideResult(call.key, True, "done, thanks")

    stage = await open_stage(
        program=with_workflow(workflow(Step("work", task()))), carrier=Carrier(plain)
    )
    execution = await stage.start("small", name="a")
    assert await stage.ends(execution) == "completed"
    assert stage.one("SELECT output FROM steps") == '"done, thanks"'


async def test_an_answer_for_an_execution_whose_program_is_missing_is_left_with_the_queue(
    open_stage: Open,
) -> None:
    old = with_workflow(workflow(Step("work", task())), hash="a" * 64)
    stage = await open_stage(program=old, carrier=Carrier(lambda _call: None))
    execution = await stage.start("small", name="a")
    await stage.quiet()
    stage.program = with_workflow(workflow(Step("new", task())), hash="b" * 64)
    await stage.restart()
    stage.carrier.worker = parcel
    stage.carrier.work(OutsideCall(f"{execution}/work/1", "WORK", '{"order": "a"}', 0.0))
    await stage.flow._inbox.step()  # type: ignore[union-attr]
    assert len(await stage.carrier.outcomes(0.0)) == 1

    stage.program = old
    await stage.restart()
    assert await stage.ends(execution) == "completed"
    assert await stage.carrier.outcomes(0.0) == []
