"""`dead_letter: queue("NAME")` of an integration: a call that is given up becomes a task, once."""

import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import error
from tests.app.flow.payments import DECLINE, HANG
from tests.app.flow.scripted import BASE
from tests.app.flow.stage import Stage

from backstay.app.flow.integrations import check
from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.unsupported import problems
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.program import Program

FLOW = """
event paid {{ payload {{ order: string, required }} }}
on "paid" do integration "Payments.charge"
workflow tell {{ input {{ name: string, required }} steps {{ s {{ emit: paid {{ order: name }} }} }} }}
workflow w {{
  input {{ name: string, required }}
  steps {{
    pay {{
      call: Payments.charge {{ order: name, amount: 3 }}
      retry: 2 times with fixed_delay(1s)
      {then}
    }}
  }}
}}
"""


def program(then: str = "", letter: str = 'queue("look-after")') -> Program:
    base = BASE.replace("  timeout: 2s", f"  timeout: 2s\n  dead_letter: {letter}")
    made, found = check_text("app.cai", base + FLOW.format(then=then))
    assert made is not None, found
    assert problems(made) == []
    return made


class Letters:
    """The worker of the letters."""

    def __init__(self) -> None:
        self.got: list[dict[str, object]] = []
        self.silent = False

    def __call__(self, call: OutsideCall) -> OutsideResult | None:
        assert call.command == "look-after"
        self.got.append(json.loads(call.payload))
        return None if self.silent else OutsideResult(call.key, ok=True, output="1")


async def opened(open_stage: Open, then: str = "") -> tuple[Stage, Letters]:
    letters = Letters()
    return await open_stage(program=program(then), carrier=Carrier(letters)), letters


async def test_a_call_that_was_tried_in_vain_is_told_with_all_that_is_known(
    open_stage: Open,
) -> None:
    stage, letters = await opened(open_stage)
    stage.payments.faults.extend([DECLINE, HANG, HANG])
    execution = await stage.start("w", name="a")
    assert await stage.ends(execution) == "failed"
    await stage.quiet()
    (letter,) = letters.got
    assert letter == {
        "integration": "Payments",
        "operation": "charge",
        "key": f"{execution}/pay",
        "input": {"order": "a", "amount": 3},
        "error": letter["error"],
        "execution": execution,
        "workflow": "w",
        "step": "pay",
        "phase": "forward",
        "attempts": letter["attempts"],
    }
    assert str(letter["error"]) in error(stage, execution)
    assert stage.all("SELECT key FROM outbox") == [], "its worker has answered"


async def test_one_that_worked_in_the_end_is_not(open_stage: Open) -> None:
    stage, letters = await opened(open_stage)
    stage.payments.faults.append(HANG)
    execution = await stage.start("w", name="a")
    assert await stage.ends(execution) == "completed"
    await stage.quiet()
    assert letters.got == []


async def test_a_letter_that_the_queue_lost_comes_again_under_its_key(open_stage: Open) -> None:
    stage, letters = await opened(open_stage)
    assert isinstance(stage.carrier, Carrier)
    stage.carrier.lose = 1
    stage.payments.faults.append(DECLINE)
    execution = await stage.start("w", name="a")
    assert await stage.ends(execution) == "failed"
    await stage.until(lambda: bool(letters.got), seconds=600)
    assert len(set(stage.carrier.sent)) == 1
    assert stage.carrier.sent[0].endswith("/dead")


async def test_a_failed_call_that_the_workflow_lives_with_is_told_all_the_same(
    open_stage: Open,
) -> None:
    stage, letters = await opened(open_stage, then="on_fail: skip")
    stage.payments.faults.append(DECLINE)
    execution = await stage.start("w", name="a")
    assert await stage.ends(execution) == "completed"
    await stage.quiet()
    assert [each["execution"] for each in letters.got] == [execution]


async def test_the_letter_of_a_second_run_is_another_one(open_stage: Open) -> None:
    stage, letters = await opened(open_stage)
    stage.payments.faults.extend([DECLINE, DECLINE])
    execution = await stage.start("w", name="a")
    assert await stage.ends(execution) == "failed"
    await stage.flow.order(execution, "retry")
    assert await stage.ends(execution) == "failed"
    await stage.quiet()
    assert len(letters.got) == 2


async def test_what_an_event_could_not_bring_there_is_told_too(open_stage: Open) -> None:
    stage, letters = await opened(open_stage)
    stage.payments.faults.append(DECLINE)
    await stage.start("tell", name="b")
    await stage.until(lambda: bool(letters.got), seconds=60)
    (letter,) = letters.got
    assert (letter["name"], letter["input"]) == ("paid", {"order": "b"})
    assert (letter["integration"], letter["operation"]) == ("Payments", "charge")
    assert letter["event"] == stage.one("SELECT id FROM events")


@pytest.mark.parametrize("letter", ["queue(1 + 1)", "emit(paid)", "true", 'queue("")'])
def test_a_letter_without_an_address_is_refused_at_the_load(letter: str) -> None:
    with pytest.raises(Fault, match="it does not name the command of a task"):
        check(program(letter=letter))
