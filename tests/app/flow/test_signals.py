"""Waiting for a signal, or for an event: whichever comes second ends the step, and time ends it else."""

import json

import pytest
from tests.app.flow.conftest import Open
from tests.app.flow.scripted import mark, program
from tests.app.flow.stage import Stage

from backstay.core.errors import Fault

WAITS = f"""
workflow w {{
  input {{ name: string, required }}
  signals {{ paid: int, note: string }}
  steps {{
    first {{ do {{ {mark("first")} }} compensate {{ do {{ {mark("un-first")} }} }} }}
    wait {{ signal: paid timeout: 1h as: sum }}
    last {{ do {{ create Mark {{ at: sum, text: "last" }} }} }}
  }}
}}
"""


def marks(stage: Stage) -> list[tuple[object, ...]]:
    return stage.all("SELECT at, text FROM marks ORDER BY at, id")


async def test_a_signal_ends_the_step_that_waits_for_it(open_stage: Open) -> None:
    stage = await open_stage(program=program(WAITS))
    execution = await stage.start("w", name="a")
    await stage.quiet()
    await stage.clock.advance(1800.0)
    await stage.quiet()
    assert stage.steps(execution) == {"first": "done", "wait": "waiting"}

    await stage.flow.signal(execution, "note", "not the one")
    await stage.quiet()
    assert stage.steps(execution)["wait"] == "waiting"
    await stage.flow.signal(execution, "paid", 42)
    assert await stage.ends(execution) == "completed"
    assert marks(stage) == [(0, "first"), (42, "last")]
    assert stage.one("SELECT attempt FROM steps WHERE name = 'wait'") == 1


async def test_a_signal_that_comes_before_its_step_is_kept_for_it(open_stage: Open) -> None:
    stage = await open_stage(program=program(WAITS))
    execution = await stage.start("w", name="a")
    await stage.flow.signal(execution, "paid", 7)
    await stage.flow.signal(execution, "paid", 8)
    assert await stage.ends(execution) == "completed"
    assert marks(stage)[-1] == (7, "last")


async def test_a_step_that_waited_in_vain_has_failed_and_looking_again_buys_no_time(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(WAITS))
    execution = await stage.start("w", name="a")
    await stage.quiet()
    began = stage.clock.tick()
    await stage.clock.advance(3000.0)
    await stage.flow.signal(execution, "note", "still waiting")
    assert await stage.ends(execution) == "compensated"
    assert 3600.0 <= stage.clock.tick() - began < 3660.0
    error = stage.one("SELECT error FROM executions")
    assert error == "step wait failed: no signal came within 1h0m0s"
    assert [text for _, text in marks(stage)] == ["first", "un-first"]


async def test_a_signal_outlives_a_crash_on_either_side_of_the_wait(open_stage: Open) -> None:
    stage = await open_stage(program=program(WAITS))
    before, after = [await stage.start("w", name=name) for name in "ab"]
    await stage.quiet()
    await stage.restart()
    await stage.flow.signal(before, "paid", 1)
    await stage.flow.signal(after, "paid", 2)
    await stage.restart()
    await stage.ends()
    assert stage._statuses((before, after)) == ["completed", "completed"]


async def test_signals_that_fit_nothing_are_refused(open_stage: Open) -> None:
    stage = await open_stage(program=program(WAITS))
    execution = await stage.start("w", name="a")

    async def refused(id: str, name: str, value: object) -> str:
        with pytest.raises(Fault) as caught:
            await stage.flow.signal(id, name, value)
        return caught.value.entry.code

    assert await refused("nope", "paid", 1) == "APP202"
    assert await refused(execution, "other", 1) == "APP216"
    assert await refused(execution, "paid", "much") == "APP220"
    await stage.flow.signal(execution, "paid", 1)
    await stage.ends()
    assert await refused(execution, "paid", 1) == "APP203"


EVENTS = """
event money_came { payload { order: string, required, amount: int, required } }

workflow buy {
  input { order: string, required }
  steps {
    wait { signal: money_came timeout: 1h as: money }
    last { do { create Mark { at: money.amount, text: order } } }
  }
}

workflow pay {
  input { order: string, required, amount: int, required }
  steps { tell { emit: money_came { order: order, amount: amount } } }
}
"""


async def test_an_event_is_a_signal_to_those_whom_it_concerns(open_stage: Open) -> None:
    stage = await open_stage(program=program(EVENTS))
    first, second = [await stage.start("buy", order=order) for order in ("one", "two")]
    await stage.quiet()
    await stage.ends(await stage.start("pay", order="two", amount=5))
    assert await stage.ends(second) == "completed"
    assert marks(stage) == [(5, "two")]
    assert stage.steps(first) == {"wait": "waiting"}

    await stage.ends(await stage.start("pay", order="one", amount=6))
    assert await stage.ends(first) == "completed"
    given = stage.one("SELECT output FROM steps WHERE execution = ? AND name = 'wait'", first)
    assert json.loads(str(given)) == {"order": "one", "amount": 6}


async def test_what_is_waited_for_has_to_exist() -> None:
    with pytest.raises(AssertionError, match="unknown signal 'payed'"):
        program(WAITS.replace("signal: paid", "signal: payed"))
