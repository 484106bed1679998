"""A step for each item of a list: on virtual time, both databases."""

import asyncio

from tests.app.flow.conftest import Open
from tests.app.flow.looking import basket, marks, output
from tests.app.flow.payments import DECLINE, HANG_DONE, LOST
from tests.app.flow.scripted import mark, program

from backstay.app.flow import views

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


async def test_a_list_that_is_under_way_can_be_looked_at(open_stage: Open) -> None:
    """It waits for its items without an end in time, and has no moment to show."""
    stage = await open_stage(program=program(FOR_EACH.format(tries=3, last=mark("last"))))
    stage.payments.faults.append(HANG_DONE)
    execution = await stage.start("w", basket=await basket(stage, 4))
    await stage.quiet()
    shown = await stage.database.read(lambda conn: views.execution(conn, execution), snapshot=True)
    assert shown is not None
    whole = next(each for each in shown["steps"] if each["kind"] == "each")
    assert (whole["state"], whole["due_at"]) == ("waiting", None)
    assert await stage.ends(execution) == "completed"
