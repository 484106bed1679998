"""Jobs fire once per time, in their own time zone; of what was missed only the latest is caught up."""

from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest
from tests.app import programs as p
from tests.app.flow.conftest import Open
from tests.app.flow.stage import Stage

from backstay.app.flow.cron import last_fire, next_fire
from backstay.app.flow.jobs import run_now
from backstay.app.flow.pausing import pause, resume
from backstay.core.errors import Fault
from backstay.lang.program import Job, Program, Start

HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def job(schedule: str, timezone: str = "UTC", *body: p.Statement) -> Job:
    return Job("nightly_sales", schedule, timezone, body or p.NIGHTLY.body)


def program(made: Job) -> Program:
    pin = sha256(msgspec.json.encode(made)).hexdigest()
    return msgspec.structs.replace(p.orders(), hash=pin, jobs=(made,))


async def runs(stage: Stage) -> list[tuple[object, ...]]:
    return stage.all("SELECT status, cause, fire_at FROM job_runs ORDER BY fire_at, id")


def test_local_time_and_its_two_odd_nights_are_kept() -> None:
    nightly = job("15 2 * * *", "Europe/Berlin")
    assert next_fire(nightly, at("2026-01-10T00:00")) == at("2026-01-10T01:15")
    assert next_fire(nightly, at("2026-07-10T00:00")) == at("2026-07-10T00:15")
    assert last_fire(nightly, at("2026-07-10T00:15")) == at("2026-07-10T00:15")
    assert last_fire(nightly, at("2026-07-10T00:14")) == at("2026-07-09T00:15")
    # 02:15 does not exist on the night of 29 March and comes twice on that of 25 October.
    assert _fires(nightly, "2026-03-28T12:00", 2) == 2
    assert _fires(nightly, "2026-10-24T12:00", 2) == 2


def _fires(made: Job, start: str, days: int) -> int:
    when, count = at(start), -1
    end = when + days * 24 * HOUR
    while when <= end:
        when, count = next_fire(made, when), count + 1
    return count


@pytest.mark.parametrize(
    ("schedule", "zone"), [("61 * * * *", "UTC"), ("0 0 30 2 *", "UTC"), ("0 0 * * *", "Nowhere/X")]
)
async def test_a_schedule_that_cannot_be_kept_is_refused_at_the_start(
    stage: Stage, schedule: str, zone: str
) -> None:
    with pytest.raises(Fault) as caught:
        await stage.flow.serve(program(job(schedule, zone)))
    assert caught.value.entry.code == "APP210"
    assert schedule in caught.value.message


async def test_a_job_fires_at_its_times_and_its_effect_commits_with_its_row(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    for _ in range(3 * 60):
        await stage.clock.advance(60.0)
        await stage.quiet()
    done = [row for row in await runs(stage) if row[0] == "done"]
    assert len(done) == 3
    assert stage.one("SELECT count(*) FROM daily_sales") == 3
    assert all(float(str(row[2])) % HOUR == 0 for row in done)


async def test_a_fire_time_is_taken_once_by_any_number_of_processes(open_stage: Open) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    other = stage.engine(sole=False)
    await other.serve(stage.program)
    await other.start()
    await stage.quiet()
    stage.clock.advance_now(HOUR)
    for flow in (stage.flow, other, stage.flow, other):
        await flow.cron.step()
    assert stage.one("SELECT count(*) FROM daily_sales") == 1
    await other.stop()


async def test_after_a_long_sleep_only_the_latest_missed_time_is_caught_up(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    stage.clock.advance_now(10.5 * HOUR)
    await stage.restart()
    await stage.quiet()
    assert [row[0] for row in await runs(stage)] == ["missed", "done", "pending"]
    assert stage.one("SELECT count(*) FROM daily_sales") == 1


async def test_a_job_that_fails_leaves_its_reason_and_nothing_else(open_stage: Open) -> None:
    body = (*p.NIGHTLY.body, p.Fail(p.text("no sales today")))
    stage = await open_stage(program=program(job("0 * * * *", "UTC", *body)))
    await stage.quiet()
    stage.clock.advance_now(HOUR)
    await stage.quiet()
    assert stage.one("SELECT count(*) FROM daily_sales") == 0
    assert stage.all("SELECT error FROM job_runs WHERE status = 'failed'") == [("no sales today",)]
    assert stage.registry.counter("job_runs_total").value("nightly_sales", "failed") == 1


async def test_a_job_may_start_a_workflow_in_its_own_commit(open_stage: Open) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    order, execution = await stage.order(await stage.product())
    await stage.ends(execution)
    starts = (Start("refund_order", (("order", p.text(order)),)),)
    stage.program = program(job("30 * * * *", "UTC", *starts))
    await stage.restart()
    await stage.quiet()
    stage.clock.advance_now(HOUR)
    await stage.until(lambda: len(stage.executions()) == 2)
    assert await stage.ends() == "completed"
    assert stage.payments.captured() == []


async def test_a_changed_schedule_replaces_the_plan(open_stage: Open) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    stage.program = program(job("30 * * * *"))
    await stage.restart()
    await stage.quiet()
    plans = [row for row in await runs(stage) if row[0] == "pending"]
    assert len(plans) == 1
    assert float(str(plans[0][2])) % HOUR == 1800.0


async def test_a_wall_clock_that_jumps_a_day_ahead_and_back_fires_each_time_once(
    open_stage: Open,
) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    for hours in (24, -24):
        stage.clock.jump(hours * HOUR)
        await _pass(stage, 3)
    fired = [row[2] for row in await runs(stage) if row[0] == "done"]
    assert len(fired) == len(set(fired))
    # Three hours after the jump and the one it caught up, then three hours of its own again: it does
    # not stand still until the clock is where it was.
    assert len(fired) in range(6, 9)
    assert stage.one("SELECT count(*) FROM daily_sales") == len(fired)


async def test_a_wall_clock_set_back_fires_no_time_again(open_stage: Open) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    await _pass(stage, 3)
    stage.clock.jump(-2.5 * HOUR)
    await _pass(stage, 2)
    fired = [row[2] for row in await runs(stage) if row[0] == "done"]
    assert len(fired) == len(set(fired)) == 3


async def test_the_times_of_a_paused_job_pass_and_none_is_made_up_for(open_stage: Open) -> None:
    stage = await open_stage(program=program(job("0 * * * *")))
    await stage.quiet()
    await _pass(stage, 1)
    await stage.database.write(lambda conn: pause(conn, "nightly_sales"))
    assert [row[0] for row in await runs(stage)] == ["done"]
    await _pass(stage, 2)
    await stage.restart()
    stage.program = program(job("30 * * * *"))
    await stage.restart()
    await _pass(stage, 2)
    assert [row[0] for row in await runs(stage)] == ["done"], "over restarts and a new schedule"

    now = stage.clock.now()
    await stage.database.write(lambda conn: run_now(conn, stage.ids, "nightly_sales", now))
    await _pass(stage, 1)
    assert [row[:2] for row in await runs(stage)][1:] == [("done", "manual")]

    now = stage.clock.now()
    await stage.database.write(lambda conn: resume(conn, "nightly_sales", now))
    await _pass(stage, 1)
    assert [row[:2] for row in await runs(stage)][2:] == [("done", "cron"), ("pending", "cron")]


async def _pass(stage: Stage, hours: int) -> None:
    for _ in range(hours * 60):
        await stage.clock.advance(60.0)
        await stage.quiet()
