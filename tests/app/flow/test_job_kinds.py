"""Jobs that are more than one transaction: steps, tasks, actions, retries; each with its run as a row
that follows the execution to its end."""

import json

from tests.app.flow.carrier import Carrier
from tests.app.flow.conftest import Open
from tests.app.flow.looking import marks
from tests.app.flow.payments import DECLINE
from tests.app.flow.scripted import mark, program
from tests.app.flow.stage import Stage

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.unsupported import problems

MINUTE = 60.0
BITE = 30.0


async def pass_(stage: Stage, seconds: float) -> None:
    """Let time pass in bites, as it does; each is a dozen transactions."""
    for _ in range(int(seconds / BITE)):
        await stage.clock.advance(BITE)
        await stage.quiet()


def runs(stage: Stage, *statuses: str) -> list[tuple[object, ...]]:
    sql = "SELECT status, error FROM job_runs WHERE job = 'j' ORDER BY fire_at"
    return [row for row in stage.all(sql) if not statuses or row[0] in statuses]


async def test_every_counts_from_the_epoch_so_that_all_replicas_agree(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(f"job j {{ schedule: every 5m do {{ {mark('tick')} }} }}")
    )
    await stage.quiet()
    await pass_(stage, 16 * MINUTE)
    times = stage.all("SELECT fire_at FROM job_runs WHERE status = 'done' ORDER BY fire_at")
    assert len(times) == 3
    assert all(float(str(at)) % 300.0 == 0 for (at,) in times)
    assert stage.one("SELECT schedule FROM jobs") == "every 5m0s"
    assert stage.one("SELECT count(*) FROM marks") == 3


async def test_a_job_with_steps_is_an_execution_and_its_run_ends_with_it(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            job j {{
              schedule: every 10m
              steps {{
                pay {{
                  call: Payments.charge {{ order: "job" }}
                  compensate {{ call: Payments.refund {{ order: "job" }} }}
                }}
                note {{ do {{ {mark("noted")} }} }}
              }}
              on_complete: log_info("well")
              on_fail {{ {mark("failed")} }}
            }}
            """
        )
    )
    stage.payments.faults.extend(["", DECLINE])
    await stage.quiet()
    await pass_(stage, 21 * MINUTE)
    found = runs(stage, "done", "failed")
    assert [status for status, _ in found] == ["done", "failed"]
    assert "step pay failed" in str(found[1][1])
    texts = [text for (text,) in stage.all("SELECT text FROM marks ORDER BY at")]
    assert texts == ["noted", "failed"]
    linked = "SELECT count(*) FROM job_runs JOIN executions ON executions.id = execution"
    assert stage.one(linked) == 2
    assert [w for (w,) in stage.all("SELECT DISTINCT workflow_id FROM executions")] == ["job:j"]
    assert stage.all("SELECT id FROM workflows") == []


async def test_a_jobs_task_goes_to_a_worker(open_stage: Open) -> None:
    sent: list[tuple[str, object]] = []

    def worker(call: OutsideCall) -> OutsideResult:
        sent.append((call.command, json.loads(call.payload)))
        return OutsideResult(call.key, True, "null")

    stage = await open_stage(
        carrier=Carrier(worker),
        program=program("job j { schedule: every 10m, task: CLEAN_UP { keep: 3 } }"),
    )
    await stage.quiet()
    await pass_(stage, 11 * MINUTE)
    assert sent == [("CLEAN_UP", {"keep": 3})]
    assert [status for status, _ in runs(stage, "done", "failed")] == ["done"]


async def test_a_jobs_action_starts_a_workflow(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            f"""
            workflow tidy {{ steps {{ one {{ do {{ {mark("tidy")} }} }} }} }}
            job j {{ schedule: every 10m, action: start(tidy) }}
            """
        )
    )
    await stage.quiet()
    await pass_(stage, 11 * MINUTE)
    assert stage.one("SELECT count(*) FROM marks") == 1
    assert [status for status, _ in runs(stage, "done", "failed")] == ["done"]


async def test_a_job_that_fails_is_tried_again_when_it_says_so(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            """
            job j {
              schedule: every 10m
              retry: 3 times with fixed_delay(1m)
              do {
                create Mark { at: 0, text: "try" }
                if count(Item where amount >= 0) == 0 { fail "not yet" }
              }
            }
            """
        )
    )
    await stage.quiet()
    await stage.until(lambda: bool(runs(stage, "running")), 11 * MINUTE)
    await pass_(stage, 5 * MINUTE)
    (found,) = runs(stage, "done", "failed")
    assert found == ("failed", "step do failed: not yet")
    assert stage.one("SELECT count(*) FROM attempts") == 3
    assert stage.one("SELECT count(*) FROM marks") == 0


async def test_a_workflow_is_started_by_its_own_schedule(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            """
            workflow hourly {
              trigger: schedule every 10m
              input { times: int, default(2) }
              steps { one { do { create Mark { at: times, text: "hourly" } } } }
            }
            """
        )
    )
    await stage.quiet()
    await pass_(stage, 21 * MINUTE)
    assert stage.all("SELECT at, text FROM marks") == [(2, "hourly"), (2, "hourly")]
    assert stage.one("SELECT name FROM jobs") == "workflow:hourly"


async def test_a_run_of_a_job_with_steps_follows_a_retry_of_its_execution(open_stage: Open) -> None:
    stage = await open_stage(
        program=program(
            'job j { schedule: every 10m, steps { pay { call: Payments.charge { order: "x" } } } }'
        )
    )
    stage.payments.faults.append(DECLINE)
    await stage.quiet()
    await pass_(stage, 11 * MINUTE)
    assert [status for status, _ in runs(stage, "done", "failed")] == ["failed"]
    execution = str(stage.one("SELECT id FROM executions"))
    await stage.flow.order(execution, "retry")
    await stage.ends(execution)
    assert runs(stage, "done", "failed") == [("done", "")]


async def test_the_queue_of_a_job_says_what_comes_first(open_stage: Open) -> None:
    """Of jobs whose time has come together, and of their tasks in the queue."""
    given: dict[str, int] = {}

    def worker(call: OutsideCall) -> OutsideResult:
        given[call.command] = call.priority
        return OutsideResult(call.key, ok=True, output="1")

    made = program(
        "".join(
            f"job {name} {{ schedule: every 10m {queue} do {{ {mark(name)} }} }}\n"
            f"job t_{name} {{ schedule: every 10m {queue} task: {name} {{ }} }}\n"
            for name, queue in (
                ("a", "queue: low"),
                ("b", "queue: default"),
                ("c", "queue: critical"),
                ("d", ""),
            )
        )
        + "workflow w { steps { s { task: flow { } } } }"
    )
    assert problems(made) == []
    stage = await open_stage(program=made, carrier=Carrier(worker))
    await stage.quiet()
    await stage.start("w")
    await pass_(stage, 11 * MINUTE)
    assert marks(stage) in (["c", "b", "d", "a"], ["c", "d", "b", "a"])
    assert given == {"a": 1, "b": 3, "c": 6, "d": 3, "flow": 3}
