"""The loop that fires jobs. A run is a row that is unique per (job, fire time), and the body
commits together with it: a job fires once, or its row says why not.

The next fire time of each job is stored before it comes. A time that passed while nothing ran is
caught up, but only the latest one (decision 10).
"""

import asyncio
from collections.abc import Mapping

import structlog

from backstay.app.flow.cron import last_fire, next_fire, schedule_of
from backstay.app.flow.guarded import Refused, inside
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.pausing import drop_plans, paused
from backstay.app.flow.plans import JobPlan, ProgramPlan, priority_of
from backstay.app.flow.turn import Ground, Turn
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock, Ids

LOOK_AGAIN = 60.0
"""Seconds between looks at the wall clock, so that its jumps are noticed."""
_BREATH = 0.05

_log = structlog.get_logger("app.jobs")


Ran = list[tuple[str, str]]
"""(job, status) of each run that ended in a turn."""


class Cron:
    """A Loop over the jobs of one program. Times are wall times: cron speaks of them."""

    name = "cron"

    def __init__(
        self, database: Database, ground: Ground, clock: Clock, metrics: FlowMetrics
    ) -> None:
        self._database = database
        self._ground = ground
        self._clock = clock
        self._metrics = metrics
        self._program: ProgramPlan | None = None
        self.wake = asyncio.Event()

    @property
    def jobs(self) -> Mapping[str, JobPlan]:
        """The jobs of the program being served."""
        return self._program.jobs if self._program else {}

    def serve(self, program: ProgramPlan) -> None:
        """From now on fire the jobs of this program."""
        self._program = program
        self.wake.set()

    async def step(self) -> float | None:
        """Fire what is due. Returns the tick of the next fire time, at most `LOOK_AGAIN` away."""
        program = self._program
        if program is None or not program.jobs:
            return None
        now = self._clock.now()
        ran = await self._database.write(lambda conn: self._fire(conn, program, now), alone=True)
        for job, status in ran:
            self._metrics.job_ran(job, status)
        due = await self._database.read(_next_due)
        wait = LOOK_AGAIN if due is None else min(max(due - now, _BREATH), LOOK_AGAIN)
        return self._clock.tick() + wait

    def _fire(self, conn: Session, program: ProgramPlan, now: float) -> Ran:
        turn = Turn(self._ground, conn, now)
        ran: Ran = []
        resting = paused(conn)
        for name, plan in program.jobs.items():
            if name not in resting:
                _catch_up(turn, plan)
        for row, job, fire_at in _due(conn, program, now):
            status = _run(turn, program, program.jobs[job], row, fire_at)
            if status != "running":
                ran.append((job, status))
        for name, plan in program.jobs.items():
            if name not in resting:
                _plan_next(turn, plan)
        return ran


def _due(conn: Session, program: ProgramPlan, now: float) -> list[tuple[str, str, float]]:
    """Runs whose time has come: those of the most urgent queue first, then the oldest."""
    sql = "SELECT id, job, fire_at FROM job_runs WHERE status = 'pending' AND fire_at <= ?"
    found = [(str(row), str(job), float(at or 0)) for row, job, at in conn.execute(sql, (now,))]
    ours = [run for run in found if run[1] in program.jobs]
    queue = {name: priority_of(plan.job.queue) for name, plan in program.jobs.items()}
    return sorted(ours, key=lambda run: (-queue[run[1]], run[2], run[0]))


def run_now(conn: Session, ids: Ids, job: str, now: float) -> str:
    """Store a run that a person asked for; the loop, once woken, runs it. Its id."""
    run = ids.new()
    conn.execute(
        "INSERT INTO job_runs (id, job, fire_at, cause, status, created_at)"
        " VALUES (?,?,?,'manual','pending',?)",
        (run, job, _free_time(conn, job, now), now),
    )
    return run


def _free_time(conn: Session, job: str, now: float) -> float:
    taken = "SELECT exists (SELECT 1 FROM job_runs WHERE job = ? AND fire_at = ?)"
    while conn.execute(taken, (job, now)).get:
        now -= 1e-6
    return now


def _catch_up(turn: Turn, plan: JobPlan) -> None:
    """Of the fire times that passed, only the latest stays pending."""
    job = plan.job
    since: float | None = turn.conn.execute(
        "SELECT since FROM jobs WHERE name = ?", (job.name,)
    ).get
    latest = last_fire(job, turn.now)
    if since is None or latest <= since:
        return
    turn.conn.execute(
        "UPDATE job_runs SET status = 'missed', ended_at = ? WHERE job = ? AND cause = 'cron'"
        " AND status = 'pending' AND fire_at < ?",
        (turn.now, job.name, latest),
    )
    _store(turn, job.name, latest)
    turn.conn.execute("UPDATE jobs SET since = ? WHERE name = ?", (latest, job.name))


def _plan_next(turn: Turn, plan: JobPlan) -> None:
    _store(turn, plan.job.name, next_fire(plan.job, turn.now))


def _store(turn: Turn, job: str, fire_at: float) -> None:
    turn.conn.execute(
        "INSERT INTO job_runs (id, job, fire_at, cause, status, created_at)"
        " VALUES (?,?,?,'cron','pending',?) ON CONFLICT DO NOTHING",
        (turn.ground.ids.new(), job, fire_at, turn.now),
    )


def _run(turn: Turn, program: ProgramPlan, plan: JobPlan, id: str, fire_at: float) -> str:
    """Run a job in this transaction, or begin the execution that is its run."""
    status, error, execution = "done", "", ""
    try:
        execution = inside(turn, lambda: _begun(turn, program, plan, id))
    except Refused as refused:
        status, error = "failed", refused.text
        _log.error("job failed", job=plan.job.name, run=id, fire_at=fire_at, error=error)
    if execution and plan.workflow in program.inner:
        status = "running"
    ended = None if status == "running" else turn.now
    turn.conn.execute(
        "UPDATE job_runs SET status = ?, error = ?, execution = ?, started_at = ?, ended_at = ?"
        " WHERE id = ?",
        (status, error, execution, turn.now, ended, id),
    )
    return status


def _begun(turn: Turn, program: ProgramPlan, plan: JobPlan, id: str) -> str:
    unit = turn.unit(program.hash, id)
    if plan.block is not None:
        plan.block(unit, {})
        return ""
    return unit.start(plan.workflow, {})


def _next_due(conn: Session) -> float | None:
    due: float | None = conn.execute(
        "SELECT min(fire_at) FROM job_runs WHERE status = 'pending'"
    ).get
    return due


def sync_jobs(conn: Session, program: ProgramPlan, now: float) -> None:
    """Store the jobs of the program being served. Plans of a schedule that changed are dropped;
    a new job looks back to now and no further. Raises APP210 for a schedule that never fires."""
    known = {row[0]: row[1:] for row in conn.execute("SELECT name, schedule, timezone FROM jobs")}
    for name, plan in program.jobs.items():
        job = plan.job
        next_fire(job, now)
        schedule = schedule_of(job)
        changed = known.get(name) not in (None, (schedule, job.timezone))
        conn.execute(
            "INSERT INTO jobs (name, program, schedule, timezone, status, description, since)"
            " VALUES (?,?,?,?,'active',?,?) ON CONFLICT (name) DO UPDATE SET"
            " program = excluded.program, schedule = excluded.schedule,"
            " timezone = excluded.timezone, status = 'active',"
            " description = excluded.description,"
            " since = CASE WHEN ? = 1 OR jobs.status <> 'active' THEN excluded.since"
            " ELSE jobs.since END",
            (name, program.hash, schedule, job.timezone, job.description, now, int(changed)),
        )
        if changed:
            drop_plans(conn, name)
    for name in known.keys() - program.jobs.keys():
        conn.execute("UPDATE jobs SET status = 'retired' WHERE name = ?", (name,))
        drop_plans(conn, name)
        conn.execute(
            "UPDATE job_runs SET status = 'cancelled', ended_at = ? WHERE job = ?"
            " AND status = 'pending'",
            (now, name),
        )
