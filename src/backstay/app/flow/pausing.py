"""Pausing a job: its times pass without a run, and none is made up for when it is resumed. A run by
hand is still possible. The pause outlives restarts, reloads and changes of the schedule."""

from backstay.app.flow.errors import UNKNOWN_JOB
from backstay.app.store.session import Session
from backstay.core.errors import Fault


def paused(conn: Session) -> frozenset[str]:
    """The names of the jobs that are paused."""
    found = conn.execute("SELECT name FROM jobs WHERE paused = 1 AND status = 'active'")
    return frozenset(str(name) for (name,) in found)


def pause(conn: Session, job: str) -> None:
    """The run that was planned is taken back. Twice is once. Raises APP205."""
    _set(conn, job, paused=1)
    drop_plans(conn, job)


def resume(conn: Session, job: str, now: float) -> None:
    """From `now` on its times count again. Raises APP205."""
    if job in paused(conn):
        conn.execute("UPDATE jobs SET since = ? WHERE name = ?", (now, job))
    _set(conn, job, paused=0)


def drop_plans(conn: Session, job: str) -> None:
    """Forget the run that the schedule has planned; one that was asked for by hand stays."""
    conn.execute(
        "DELETE FROM job_runs WHERE job = ? AND status = 'pending' AND cause = 'cron'", (job,)
    )


def _set(conn: Session, job: str, *, paused: int) -> None:
    conn.execute("UPDATE jobs SET paused = ? WHERE name = ? AND status = 'active'", (paused, job))
    if conn.changes() == 0:
        raise Fault(UNKNOWN_JOB, name=job)
