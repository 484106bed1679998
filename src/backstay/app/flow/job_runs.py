"""The runs of a job as rows: how one that is an execution follows it to its end."""

from backstay.app.flow.rows import Execution
from backstay.app.flow.turn import Turn

PREFIX = "job:"
"""What the workflow of a job is named like."""


def follow(turn: Turn, row: Execution) -> None:
    """The execution of a run has ended, or runs again: the run says so, too."""
    if not row.workflow.startswith(PREFIX):
        return
    status = {"completed": "done", "running": "running"}.get(row.status, "failed")
    turn.conn.execute(
        "UPDATE job_runs SET status = ?, error = ?, ended_at = ? WHERE execution = ?",
        (status, row.error, None if status == "running" else turn.now, row.id),
    )
    if status != "running":
        turn.notes.jobs.append((row.workflow.removeprefix(PREFIX), status))
