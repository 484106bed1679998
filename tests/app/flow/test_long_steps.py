"""A step that would hold the one writer for long."""

from tests.app.flow.conftest import Open
from tests.app.flow.looking import error, marks
from tests.app.flow.scripted import mark, program

from backstay.app.plan.unit import MAX_LOOPED


async def test_a_step_that_loops_for_too_long_has_failed_and_is_taken_back(
    open_stage: Open,
) -> None:
    body = f"{mark('begun')} for n in range(0, {MAX_LOOPED + 1}) {{ let m = n }}"
    stage = await open_stage(
        program=program(f"workflow w {{ steps {{ s {{ do {{ {body} }} }} }} }}")
    )
    execution = await stage.start("w")
    assert await stage.ends(execution) == "failed"
    assert "more than 100000 statements in the loops of one transaction" in error(stage, execution)
    assert marks(stage) == []
