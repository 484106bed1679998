"""What has gone wrong with workflows and jobs of late, for the doctor: read from their rows."""

from backstay.app.store.session import Session

RECENT = 3600.0
"""Seconds within which a failed execution still says something."""
JOBS_RECENT = 2 * 86400.0
_FAILED = ("failed", "compensated", "compensation_failed")
_LOOKED = 200

_ENDED = (
    "SELECT workflow_id, id, status, error FROM executions"
    " WHERE status IN ('completed', 'failed', 'compensated', 'compensation_failed')"
    " AND updated_at >= ? ORDER BY updated_at DESC LIMIT ?"
)
_RAN = (
    "SELECT job, id, status, error FROM job_runs WHERE status IN ('done', 'failed')"
    " AND ended_at >= ? ORDER BY ended_at DESC LIMIT ?"
)


def workflows(conn: Session, now: float) -> list[dict[str, object]]:
    """Per workflow with a failure: how many of the last executions in a row failed, and the newest
    of them. An execution that a person cancelled is none."""
    found: dict[str, dict[str, object]] = {}
    over: set[str] = set()
    for workflow, execution, status, error in conn.execute(_ENDED, (now - RECENT, _LOOKED)):
        name = str(workflow)
        if status not in _FAILED:
            over.add(name)
            continue
        first = {"workflow": name, "execution": execution, "error": error, "in_a_row": 0}
        mine = found.setdefault(name, first)
        if name not in over:
            mine["in_a_row"] = int(str(mine["in_a_row"])) + 1
    return list(found.values())


def lost(conn: Session) -> list[dict[str, object]]:
    """Executions with a compensation that was given up, the newest first."""
    sql = (
        "SELECT workflow_id, id, error FROM executions WHERE status = 'compensation_failed'"
        " ORDER BY created_at DESC LIMIT 20"
    )
    return [
        {"workflow": workflow, "execution": execution, "error": error}
        for workflow, execution, error in conn.execute(sql)
    ]


def jobs(conn: Session, now: float) -> list[dict[str, object]]:
    """Jobs whose last run failed."""
    found: list[dict[str, object]] = []
    seen: set[str] = set()
    for job, run, status, error in conn.execute(_RAN, (now - JOBS_RECENT, _LOOKED)):
        if job not in seen and status == "failed":
            found.append({"job": job, "run": run, "error": error})
        seen.add(str(job))
    return found
