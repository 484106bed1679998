"""Steps side by side, steps for each item, checks, reactions, queries: on virtual time, both
databases."""

import asyncio
import json

import pytest
from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import basket, error, marks, output
from tests.app.flow.payments import DECLINE, HANG, HANG_DONE, LOST
from tests.app.flow.scripted import mark, program

from backstay.app.flow import views
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


FOR_EACH = """
workflow w {{
  input {{ basket: ref(Basket), required }}
  steps {{
    each {{
      for_each: basket.items
      as: thing
      parallel: 3
      call: Payments.charge {{ order: thing.name, at: index, also: item.amount }}
      retry: {tries} times with fixed_delay(1s)
      compensate {{ call: Payments.refund {{ order: thing.name }} }}
    }}
    last {{ do {{ {last} }} }}
  }}
}}
"""


async def test_each_item_is_a_call_of_its_own_a_few_at_a_time(open_stage: Open) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=2, last=mark("last"))))
    stage.payments.faults.extend([LOST, LOST])
    made = await basket(stage, 7)
    execution = await stage.start("w", basket=made)
    await stage.flow.runner.step()
    assert len(stage.flow.runner.flying) <= 3

    assert await stage.ends(execution) == "completed"
    assert sorted(stage.payments.captured()) == [f"n{number}" for number in range(7)]
    keys = {key for _, key, _ in stage.payments.requests}
    assert keys == {f"{execution}/each.{number}" for number in range(7)}
    assert {(body["order"], body["also"]) for _, _, body in stage.payments.requests} == {
        (f"n{number}", number) for number in range(7)
    }
    found = output(stage, execution, "each")
    assert isinstance(found, list)
    assert [each["charge"] for each in found] == [f"{execution}/each.{n}" for n in range(7)]


async def test_when_an_item_fails_those_that_were_done_are_undone(open_stage: Open) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=1, last=mark("last"))))
    made = await basket(stage, 6)
    stage.payments.faults.extend(["", "", "", "", DECLINE])
    execution = await stage.start("w", basket=made)

    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    assert marks(stage) == []
    states = dict(
        stage.all(
            "SELECT item, state FROM steps WHERE execution = ? AND phase = 'forward'", execution
        )
    )
    assert states[-1] == "failed"
    undone = stage.all(
        "SELECT item FROM steps WHERE execution = ? AND phase = 'compensate'", execution
    )
    done = [item for item, state in states.items() if state == "done"]
    assert sorted(item for (item,) in undone) == sorted(done)


async def test_a_person_runs_a_half_done_list_again_without_repeating_what_stayed(
    open_stage: Open,
) -> None:
    stage = await open_stage(
        program=program(
            """
            workflow w {
              input { basket: ref(Basket), required }
              steps {
                each {
                  for_each: basket.items
                  parallel: 1
                  call: Payments.charge { order: item.name }
                }
              }
            }
            """
        )
    )
    made = await basket(stage, 4)
    stage.payments.faults.extend(["", "", DECLINE])
    execution = await stage.start("w", basket=made)
    assert await stage.ends(execution) == "failed"

    await stage.flow.order(execution, "retry")
    assert await stage.ends(execution) == "completed"
    asked = [body["order"] for _, _, body in stage.payments.requests]
    assert sorted(asked) == ["n0", "n1", "n2", "n2", "n3"]
    found = output(stage, execution, "each")
    assert isinstance(found, list)
    assert len([each for each in found if each]) == 4


async def test_an_item_that_was_undone_begins_again_although_a_later_one_stands(
    open_stage: Open,
) -> None:
    """Undoing leaves a hole before the item that failed; the next run has to fill it."""
    text = FOR_EACH.format(tries=1, last=mark("last")).replace("parallel: 3", "parallel: 1")
    text = text.replace("  steps {", "  retry: 2 times with fixed_delay(5s)\n  steps {", 1)
    stage = await open_stage(program=program(text))
    stage.payments.faults.extend(["", "", DECLINE])
    execution = await stage.start("w", basket=await basket(stage, 5))

    assert await stage.ends(execution) == "completed"
    assert sorted(stage.payments.captured()) == [f"n{number}" for number in range(5)]
    found = output(stage, execution, "each")
    assert isinstance(found, list)
    assert [each["charge"] for each in found] == [
        f"{execution}/each.0/run-2",
        f"{execution}/each.1/run-2",
        f"{execution}/each.2",
        f"{execution}/each.3/run-2",
        f"{execution}/each.4/run-2",
    ]


async def test_a_process_that_dies_while_a_list_is_undone_goes_on_where_it_was(
    open_stage: Open,
) -> None:
    """The order of undoing is remembered in memory alone."""
    text = FOR_EACH.format(tries=1, last='fail "no"').replace("parallel: 3", "parallel: 2")
    stage = await open_stage(program=program(text))
    execution = await stage.start("w", basket=await basket(stage, 6))
    died = 0
    for _ in range(200):
        await stage.flow.runner.step()
        if died < 3 and stage._statuses((execution,)) == ["compensating"]:
            await stage.restart()
            died += 1
        await stage.clock.advance(0.5)

    assert died
    assert await stage.ends(execution) == "compensated"
    assert stage.payments.captured() == []
    refunded = [body["order"] for path, _, body in stage.payments.requests if "refund" in path]
    assert list(dict.fromkeys(refunded)) == [f"n{number}" for number in reversed(range(6))]


async def test_a_list_with_nothing_in_it_is_done_at_once(open_stage: Open) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=1, last=mark("last"))))
    execution = await stage.start("w", basket=await basket(stage, 0))
    assert await stage.ends(execution) == "completed"
    assert output(stage, execution, "each") == []
    assert marks(stage) == ["last"]


async def test_items_survive_a_crash_in_the_middle(open_stage: Open) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=3, last=mark("last"))))
    made = await basket(stage, 5)
    stage.payments.faults.extend(["", HANG_DONE, HANG_DONE])
    execution = await stage.start("w", basket=made)
    await stage.quiet()
    await stage.restart()
    assert await stage.ends(execution) == "completed"
    assert sorted(stage.payments.captured()) == [f"n{number}" for number in range(5)]


async def test_an_item_whose_when_is_false_is_skipped(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ basket: ref(Basket), required }}
              steps {{
                each {{
                  for_each: basket.items
                  when: item.amount > 1
                  do {{ create Mark {{ at: index, text: item.name }} }}
                }}
                last {{ do {{ {mark("last")} }} }}
              }}
            }}
            """
        )
    )
    execution = await stage.start("w", basket=await basket(stage, 4))
    assert await stage.ends(execution) == "completed"
    assert sorted(marks(stage)) == ["last", "n2", "n3"]


async def test_a_check_that_does_not_hold_fails_the_step_before_its_work(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ amount: int, required }}
              steps {{
                enough {{ check: amount > 10 else "only {{amount}} of them" }}
                pay {{
                  check: amount < 100 else "too much"
                  do {{ {mark("paid")} }}
                }}
              }}
            }}
            """
        )
    )
    few = await stage.start("w", amount=3)
    many = await stage.start("w", amount=300)
    right = await stage.start("w", amount=30)
    await stage.ends()
    assert stage._statuses((few, many, right)) == ["failed", "failed", "completed"]
    assert error(stage, few) == "step enough failed: only 3 of them"
    assert error(stage, many) == "step pay failed: too much"
    assert marks(stage) == ["paid"]


async def test_a_step_says_what_its_failure_means(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            event lost {{ payload {{ name: string, required }} }}
            workflow goes_on {{
              input {{ name: string, required }}
              steps {{
                letter {{ call: Payments.charge {{ order: name }} on_fail: log_warning("no letter") }}
                other {{ do {{ fail "never mind" }} on_fail: skip }}
                last {{ do {{ {mark("went on")} }} }}
              }}
            }}
            workflow turns {{
              input {{ name: string, required }}
              steps {{
                first {{ do {{ {mark("first")} }} compensate {{ do {{ {mark("un-first")} }} }} }}
                pay {{ do {{ fail "broke" }} on_fail: reject("not today, {{name}}") }}
              }}
            }}
            workflow tells {{
              input {{ name: string, required }}
              steps {{ pay {{ do {{ fail "broke" }} on_fail: emit(lost) }} }}
            }}
            """
        )
    )
    stage.payments.faults.append(DECLINE)
    on = await stage.start("goes_on", name="a")
    turned = await stage.start("turns", name="b")
    told = await stage.start("tells", name="c")
    await stage.ends()
    assert stage._statuses((on, turned, told)) == ["completed", "compensated", "failed"]
    assert error(stage, turned) == "not today, b"
    assert sorted(marks(stage)) == ["first", "un-first", "went on"]
    assert stage.all("SELECT event, payload FROM events") == [("lost", '{"name":"c"}')]


async def test_on_success_happens_with_the_step_and_on_complete_with_the_end(
    open_stage: Open,
) -> None:
    stage = await open_stage(
        program=program(
            f"""
            event paid {{ payload {{ name: string, required }} }}
            event all_done {{ payload {{ name: string, required }} }}
            workflow w {{
              input {{ name: string, required }}
              steps {{
                pay {{ call: Payments.charge {{ order: name }} on_success: emit(paid) }}
                tell {{ emit: paid {{ name: "again" }} }}
              }}
              on_complete: emit(all_done)
            }}
            workflow v {{
              steps {{ one {{ do {{ {mark("one")} }} }} }}
              on_complete {{ {mark("complete")} }}
            }}
            """
        )
    )
    await stage.start("w", name="a")
    await stage.start("v")
    await stage.ends()
    told = stage.all("SELECT event, payload FROM events ORDER BY created_at, id")
    assert told == [
        ("paid", '{"name":"a"}'),
        ("paid", '{"name":"again"}'),
        ("all_done", '{"name":"a"}'),
    ]
    assert marks(stage) == ["one", "complete"]


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


async def test_a_cancelled_list_begins_no_more_items_and_undoes_those_that_were_done(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=1, last=mark("last"))))
    stage.payments.faults.extend(["", HANG_DONE, HANG_DONE, HANG_DONE])
    execution = await stage.start("w", basket=await basket(stage, 8))
    await stage.quiet()
    await stage.flow.order(execution, "cancel")
    assert await stage.ends(execution) == "cancelled"
    assert stage.payments.captured() == []
    begun = "SELECT count(*) FROM steps WHERE execution = ? AND phase = 'forward' AND item >= 0"
    assert stage.one(begun, execution) == 4
    assert marks(stage) == []


async def test_two_runners_never_take_the_same_item(open_stage: Open) -> None:
    stage = await open_stage(program=program(FOR_EACH.format(tries=1, last=mark("last"))))
    made = [await stage.start("w", basket=await basket(stage, 6)) for _ in range(5)]
    other = stage.engine(sole=False)
    await other.serve(stage.program)
    await other.start()
    async with asyncio.timeout(60):
        while set(stage._statuses(())) != {"completed"}:
            for flow in (stage.flow, other):
                for loop in flow.loops:
                    if loop.name != "sweeper":
                        await loop.step()
            await asyncio.sleep(0)
    keys = sorted(key for _, key, _ in stage.payments.requests)
    assert keys == sorted(f"{execution}/each.{n}" for execution in made for n in range(6))
    assert stage.one("SELECT count(*) FROM attempts") == 0
    await other.drain(0.0)
    await other.stop()


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


async def test_a_list_that_is_under_way_can_be_looked_at(open_stage: Open) -> None:
    """It waits for its items without an end in time, and has no moment to show."""
    stage = await open_stage(program=program(FOR_EACH.format(tries=1, last=mark("last"))))
    execution = await stage.start("w", basket=await basket(stage, 4))
    await stage.flow.runner.step()
    shown = await stage.database.read(lambda conn: views.execution(conn, execution), snapshot=True)
    assert shown is not None
    whole = next(each for each in shown["steps"] if each["kind"] == "each")
    assert (whole["state"], whole["due_at"]) == ("waiting", None)
    assert await stage.ends(execution) == "completed"
