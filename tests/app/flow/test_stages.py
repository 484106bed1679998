"""Steps side by side, queries, retries of the whole: on virtual time, both databases."""

import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import basket, error, marks, output
from tests.app.flow.payments import DECLINE, HANG, HANG_DONE
from tests.app.flow.scripted import mark, program

from backstay.app.flow.compiling import compile_program
from backstay.app.ports import OutsideCall, OutsideResult
from backstay.core.errors import Fault


async def test_steps_side_by_side_are_under_way_at_once_and_the_next_waits_for_all(
    open_stage: Open,
) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ name: string, required }}
              steps {{
                parallel {{
                  one {{ call: Payments.charge {{ order: name }} retry: 2 times }}
                  two {{ call: Payments.charge {{ order: name }} retry: 2 times }}
                  three {{ do {{ {mark("three")} }} }}
                }}
                after {{ do {{ {mark("after")} }} }}
              }}
            }}
            """
        )
    )
    stage.payments.faults.extend([HANG, HANG])
    execution = await stage.start("w", name="a")
    await stage.quiet()
    assert stage.steps(execution) == {"one": "running", "two": "running", "three": "done"}
    assert len(stage.flow.runner.flying) == 2
    assert marks(stage) == ["three"]

    assert await stage.ends(execution) == "completed"
    assert marks(stage) == ["three", "after"]


async def test_when_one_of_several_fails_the_others_are_waited_for_and_undone(
    open_stage: Open,
) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ name: string, required }}
              signals {{ luck: bool }}
              steps {{
                first {{ do {{ {mark("first")} }} compensate {{ do {{ {mark("un-first")} }} }} }}
                parallel {{
                  slow {{
                    call: Payments.charge {{ order: name }}
                    compensate {{ call: Payments.refund {{ order: name }} }}
                  }}
                  quick {{ do {{ {mark("quick")} }} compensate {{ do {{ {mark("un-quick")} }} }} }}
                  bad {{ signal: luck timeout: 1s }}
                }}
                never {{ do {{ {mark("never")} }} }}
              }}
            }}
            """
        )
    )
    stage.payments.faults.append(HANG_DONE)
    execution = await stage.start("w", name="a")
    await stage.quiet()
    assert stage.steps(execution)["slow"] == "running"
    assert stage.payments.captured() == ["a"]

    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    assert marks(stage) == ["first", "quick", "un-quick", "un-first"]
    assert error(stage, execution) == "step bad failed: no signal came within 1s"


async def test_a_workflow_with_a_retry_runs_again_after_it_was_undone(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ name: string, required }}
              retry: 3 times with fixed_delay(10s)
              steps {{
                pay {{
                  call: Payments.charge {{ order: name }}
                  compensate {{ call: Payments.refund {{ order: name }} }}
                }}
                ship {{ call: Payments.charge {{ order: "ship" }} }}
              }}
              on_fail {{ {mark("gave up")} }}
            }}
            """
        )
    )
    stage.payments.faults.extend(["", DECLINE, ""])
    execution = await stage.start("w", name="a")
    before = stage.clock.tick()
    assert await stage.ends(execution) == "completed"
    assert stage.clock.tick() - before >= 10.0
    assert marks(stage) == []
    assert sorted(stage.payments.captured()) == ["a", "ship"]
    assert stage.one("SELECT run FROM executions") == 2

    stage.payments.faults.extend(["", DECLINE, ""] * 3)
    again = await stage.start("w", name="b")
    assert await stage.ends(again) == "compensated"
    assert marks(stage) == ["gave up"]
    assert stage.one("SELECT run FROM executions WHERE id = ?", again) == 3


async def test_what_backstay_has_no_wire_for_is_a_task_of_that_name(open_stage: Open) -> None:
    sent: list[tuple[str, object]] = []

    def worker(call: OutsideCall) -> OutsideResult:
        sent.append((call.command, json.loads(call.payload)))
        return OutsideResult(call.key, True, "null")

    stage = await open_stage(
        carrier=Carrier(worker),
        program=program(
            """
            workflow w {
              input { name: string, required }
              steps {
                mail {
                  send: email("a@example.org")
                  template: "welcome"
                  data: { who: name, n: 3 }
                  subject: "Hello {name}"
                  compensate: cancel_mail("a@example.org")
                }
                old { activity "prepare" input { who: "workflow.input.name", kind: "new" } }
                bad { do { fail "no" } }
              }
            }
            """
        ),
    )
    await stage.start("w", name="Ada")
    assert await stage.ends() == "compensated"
    assert sent == [
        (
            "email",
            {
                "args": ["a@example.org"],
                "template": "welcome",
                "data": {"who": "Ada", "n": 3},
                "subject": "Hello Ada",
            },
        ),
        ("prepare", {"who": "Ada", "kind": "new"}),
        ("cancel_mail", {"args": ["a@example.org"]}),
    ]


async def test_a_query_gives_its_rows_to_the_steps_after_it(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            """
            workflow w {
              input { basket: ref(Basket), required, least: int, required }
              steps {
                find {
                  query: "select name, amount from Item where amount >= @least order by amount desc"
                  as: found
                }
                each { for_each: found do { create Mark { at: index, text: item.name } } }
                more { query: "update Item set amount = 100 where amount > 2" }
              }
            }
            """
        )
    )
    execution = await stage.start("w", basket=await basket(stage, 5), least=2)
    assert await stage.ends(execution) == "completed", error(stage, execution)
    assert marks(stage) == ["n4", "n3", "n2"]
    assert output(stage, execution, "more") == {"changed": 2}
    assert stage.one("SELECT count(*) FROM items WHERE amount = 100") == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "select name from Item where name = @",
            "LexerError at line 1, column 36: unexpected character '@'",
        ),
        (
            "select name from Item where",
            "ParserError at line 1, column 28: unexpected end of input",
        ),
        ("select name from Thing", "SemanticError at line 1, column 18: unknown entity 'Thing'"),
        (
            "select colour from Item",
            "CompilerError at line 1, column 8: unknown field 'colour' on entity 'Item'",
        ),
        (
            "select name from Item where amount = 'x'",
            "CompilerError at line 1, column 38: type mismatch for field 'amount': expected int, got string",
        ),
        ("update Item set basket = '00000000-0000-7000-8000-00000000000a'", "ExecutionError: "),
    ],
)
async def test_a_query_error_is_the_executions_error_with_its_kind(
    open_stage: Open, query: str, said: str
) -> None:
    stage = await open_stage(
        program=program(f'workflow w {{ steps {{ ask {{ query: "{query}" }} }} }}')
    )
    await basket(stage, 1)
    execution = await stage.start("w")
    assert await stage.ends(execution) == "failed"
    assert error(stage, execution).startswith(f"step ask failed: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps { s { do { } } } on_complete: rollback", "'rollback' does nothing there"),
        ("steps { s { do { } } } on_fail: skip", "'skip' does nothing there"),
        ('steps { s { do { } compensate: reject("x") } }', "'reject' does nothing there"),
        ('steps { s { do { } on_success: email("x") } }', "not done in the transaction"),
        ("steps { s { do { } template: 5 } }", "'template' says nothing to do"),
        ("steps { s { action: emit(told) } }", "'n' has no value"),
        ("steps { s { action: create(Mark) } }", "cannot stand here"),
        ("trigger: schedule every 1h input { a: int, required } steps { s { do { } } }", "'a'"),
    ],
)
def test_what_could_never_run_is_refused_at_the_load(text: str, said: str) -> None:
    made = program(f"event told {{ payload {{ n: int, required }} }} workflow w {{ {text} }}")
    with pytest.raises(Fault, match=said) as caught:
        compile_program(made)
    assert caught.value.entry.code == "APP005"


async def test_a_text_that_reads_like_an_old_path_is_only_a_text(open_stage: Open) -> None:
    text = 'workflow w { steps { pay { call: Payments.charge { order: "event", to: "steps.a.output" } } } }'
    stage = await open_stage(program=program(text))
    await stage.start("w")
    assert await stage.ends() == "completed"
    assert stage.payments.requests[0][2] == {"order": "event", "to": "steps.a.output"}
