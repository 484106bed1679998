"""`on_empty` of a step: what follows when there is nothing to do, on both databases."""

import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import basket, error, marks, output
from tests.app.flow.payments import HANG_DONE
from tests.app.flow.scripted import mark, program

from backstay.app.flow.compiling import compile_program
from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.unsupported import problems
from backstay.core.errors import Fault
from backstay.lang.api import check_text

LIST = f"""
event nothing_to_do {{ payload {{ basket: ref(Basket), required }} }}
workflow told {{ trigger: nothing_to_do steps {{ s {{ do {{ {mark("told")} }} }} }} }}
workflow w {{
  input {{ basket: ref(Basket), required }}
  steps {{
    first {{ do {{ {mark("first")} }} compensate {{ do {{ {mark("un-first")} }} }} }}
    find {{ QUERY on_empty: ANSWER }}
    never {{ do {{ {mark("behind")} }} }}
    last {{ do {{ {mark("last")} }} }}
  }}
  on_complete {{ {mark("complete")} }}
}}
"""
ROWS = 'query: "select name from Item where basket = @basket"'
CHANGE = 'query: "update Item set amount = 7 where basket = @basket"'
EACH = "for_each: basket.items do { create Mark { at: 1, text: item.name } }"


def text(query: str, answer: str) -> str:
    return LIST.replace("QUERY", query).replace("ANSWER", answer)


@pytest.mark.parametrize("query", [ROWS, CHANGE, EACH])
async def test_skip_leaves_out_what_stands_behind_and_completes(
    open_stage: Open, query: str
) -> None:
    made = program(text(query, "skip"))
    assert problems(made) == []
    stage = await open_stage(program=made)
    execution = await stage.start("w", basket=await basket(stage, 0))
    assert await stage.ends(execution) == "completed", error(stage, execution)
    assert marks(stage) == ["first", "complete"]
    assert "never" not in stage.steps(execution)

    execution = await stage.start("w", basket=await basket(stage, 1))
    assert await stage.ends(execution) == "completed", error(stage, execution)
    assert marks(stage)[-3:] == ["behind", "last", "complete"]


@pytest.mark.parametrize("query", [ROWS, CHANGE, EACH])
@pytest.mark.parametrize(
    ("answer", "said"),
    [('reject("no items in {basket}")', "no items in "), ("rollback", "it found nothing")],
)
async def test_finding_nothing_can_be_the_steps_failure(
    open_stage: Open, query: str, answer: str, said: str
) -> None:
    stage = await open_stage(program=program(text(query, answer)))
    execution = await stage.start("w", basket=await basket(stage, 0))
    assert await stage.ends(execution) == "compensated"
    assert error(stage, execution).startswith(f"step find failed: {said}")
    assert marks(stage) == ["first", "un-first"]


@pytest.mark.parametrize("query", [ROWS, EACH])
async def test_it_can_be_told_and_the_workflow_goes_on(open_stage: Open, query: str) -> None:
    stage = await open_stage(program=program(text(query, "emit(nothing_to_do)")))
    execution = await stage.start("w", basket=await basket(stage, 0))
    assert await stage.ends() == "completed", error(stage, execution)
    assert sorted(marks(stage)) == ["behind", "complete", "first", "last", "told"]
    assert output(stage, execution, "find") == []


async def test_what_has_nothing_to_send_is_not_sent(open_stage: Open) -> None:
    told: list[object] = []

    def worker(call: OutsideCall) -> OutsideResult:
        told.append(json.loads(call.payload))
        return OutsideResult(call.key, ok=True, output='"sent"')

    made = program(
        f"""
        workflow w {{
          input {{ basket: ref(Basket), required }}
          steps {{
            find {{ query: "select name from Item where basket = @basket" as: rows }}
            report {{ send: email("a@b.c") data: rows on_empty: skip }}
            behind {{ do {{ {mark("behind")} }} }}
          }}
        }}
        """
    )
    assert problems(made) == []
    stage = await open_stage(program=made, carrier=Carrier(worker))
    for count in (0, 1):
        execution = await stage.start("w", basket=await basket(stage, count))
        assert await stage.ends(execution) == "completed", error(stage, execution)
        assert len(told) == len(marks(stage)) == count
    assert told == [{"args": ["a@b.c"], "data": [{"name": "n0"}]}]


@pytest.mark.parametrize("gave", ["null", "[]"])
async def test_what_an_outside_worker_did_not_find_is_nothing_too(
    open_stage: Open, gave: str
) -> None:
    carrier = Carrier(lambda call: OutsideResult(call.key, ok=True, output=gave))
    made = program(
        f"""
        workflow w {{
          steps {{
            find {{
              task: look {{ }}
              on_empty: reject("nobody there")
              compensate {{ do {{ {mark("unlooked")} }} }}
            }}
            never {{ do {{ {mark("never")} }} }}
          }}
        }}
        """
    )
    stage = await open_stage(program=made, carrier=carrier)
    execution = await stage.start("w")
    assert await stage.ends(execution) == "compensated"
    assert error(stage, execution) == "step find failed: nobody there"
    assert marks(stage) == ["unlooked"], "the work was done, whatever it gave"


async def test_steps_beside_it_end_before_the_rest_is_left_out(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              steps {{
                parallel {{
                  find {{ query: "select name from Item" on_empty: skip }}
                  pay {{ call: Payments.charge {{ order: "a" }} }}
                }}
                never {{ do {{ {mark("never")} }} }}
              }}
            }}
            """
        )
    )
    stage.payments.faults.append(HANG_DONE)
    execution = await stage.start("w")
    await stage.quiet()
    assert stage.steps(execution) == {"find": "done", "pay": "running"}
    await stage.ends(execution)
    assert marks(stage) == []


async def test_a_later_run_leaves_out_the_same(open_stage: Open) -> None:
    """The query is not asked again: what it did not find decided, in the run that failed at its end."""
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              steps {{
                find {{ query: "select name from Item" on_empty: skip }}
                never {{ do {{ {mark("never")} }} }}
              }}
              on_complete {{
                if count(Mark where at >= 0) == 0 {{ fail "not yet" }}
              }}
            }}
            """
        )
    )
    execution = await stage.start("w")
    assert await stage.ends(execution) == "failed"
    await basket(stage, 1)
    await stage.database.write(
        lambda conn: (
            conn.execute(
                "INSERT INTO marks (id, at, text) VALUES (?, 1, 'now')", (stage.ids.new(),)
            )
            and None
        )
    )
    await stage.flow.order(execution, "retry")
    assert await stage.ends(execution) == "completed"
    assert marks(stage) == ["now"]


@pytest.mark.parametrize("answer", ["skip", 'reject("none")', 'log_warning("none")'])
async def test_a_dry_run_says_the_same(open_stage: Open, answer: str) -> None:
    stage = await open_stage(program=program(text(ROWS, answer)))
    made = await basket(stage, 0)
    report = await stage.flow.rehearse("w", f'{{"basket":"{made}"}}'.encode())
    does = {each["step"]: each["does"] for each in report["steps"]}
    if answer == "skip":
        assert does["never"] == does["last"] == "left out: there was nothing to do"
        assert does["on_complete"] == "do"
    elif answer.startswith("reject"):
        assert (report["ends"], report["error"]) == ("failed", "none")
    else:
        assert list(does) == ["first", "find", "never", "last", "on_complete"]
    assert marks(stage) == []


@pytest.mark.parametrize("step", ["do { } on_empty: skip", 'query: "count(Item)" on_empty: skip'])
def test_a_step_that_looks_for_no_rows_is_never_empty(step: str) -> None:
    entity = "entity Item { id: uuid, primary, auto }\n"
    _, found = check_text("a.cai", f"{entity}workflow w {{ steps {{ s {{ {step} }} }} }}")
    assert any("'on_empty' has no use here" in each.message for each in found)


@pytest.mark.parametrize("answer", ["ignore", 'email("a@b.c")'])
def test_what_is_no_answer_is_refused_at_the_load(answer: str) -> None:
    with pytest.raises(Fault, match="no answer to an empty list"):
        compile_program(program(text(ROWS, answer)))
