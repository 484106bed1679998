"""What a step says about its own end, and what happens then, on both databases."""

from tests.app.flow.conftest import Open
from tests.app.flow.looking import error, marks
from tests.app.flow.payments import DECLINE
from tests.app.flow.scripted import mark, program


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


async def test_what_a_step_says_about_its_end_may_be_statements(open_stage: Open) -> None:
    """They are done in the commit of that end, and on_fail knows the error."""
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              input {{ name: string, required }}
              steps {{
                first {{
                  do {{ {mark("first")} }}
                  on_success {{ let said = "after {{name}}" {mark("{said}")} }}
                  compensate {{ do {{ {mark("un-first")} }} }}
                }}
                none {{ query: "select name from Item" on_empty {{ {mark("no items")} }} }}
                bad {{
                  check: name != "bad" else "no {{name}}"
                  on_fail {{ {mark("{error}")} }}
                }}
                last {{ do {{ {mark("last")} }} }}
              }}
            }}
            """
        )
    )
    good, bad = await stage.start("w", name="good"), await stage.start("w", name="bad")
    assert await stage.ends(good) == "completed", error(stage, good)
    assert await stage.ends(bad) == "compensated"
    assert error(stage, bad) == "step bad failed: no bad"
    assert sorted(marks(stage)) == sorted(
        [
            *("first", "after good", "no items", "last"),
            *("first", "after bad", "no items", "no bad", "un-first"),
        ]
    )


async def test_a_reaction_that_fails_is_told_beside_the_failure(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow w {{
              steps {{
                bad {{ check: 1 > 2 else "no" on_fail {{ {mark("gone")} fail "never mind" }} }}
              }}
            }}
            """
        )
    )
    execution = await stage.start("w")
    assert await stage.ends(execution) == "failed"
    assert error(stage, execution) == "step bad failed: no; and on_fail: never mind"
    assert marks(stage) == []
