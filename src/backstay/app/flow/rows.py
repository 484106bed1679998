"""Executions and steps as rows: every statement the engine writes with, and nothing that decides.

All functions take the connection of the running transaction. Times are epoch seconds.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from backstay.app.flow.model import NEVER, ExecutionStatus, Kind, Phase, Reason, StepState
from backstay.app.store.session import Session

REFUSED = "refused"
"""The outcome of an attempt, in the history, that an open breaker kept from its target."""


WHOLE = -1
"""The `item` of a step that is not one of many."""


class Execution(msgspec.Struct):
    """A row of `executions`."""

    id: str
    workflow: str
    program: str
    status: ExecutionStatus
    reason: Reason
    run: int
    input: str
    error: str
    created_at: float
    updated_at: float
    deadline: float | None


class Step(msgspec.Struct):
    """A row of `steps`; `unknown` is 1 once an attempt's effect was not seen to fail. `item` is
    the place in the list of a for_each, `WHOLE` for a step that is one piece."""

    execution: str
    phase: Phase
    position: int
    item: int
    name: str
    workflow: str
    kind: Kind
    state: StepState
    attempt: int
    due_at: float
    key: str
    unknown: int = 0
    compensation: str = ""
    lease_token: str | None = None
    lease_owner: str | None = None
    lease_seconds: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    input: str | None = None
    output: str | None = None
    error: str | None = None


_EXECUTION = (
    "SELECT id, workflow_id, program, status, reason, run, input, error, created_at, updated_at,"
    " deadline FROM executions"
)
_STEP = (
    "SELECT execution, phase, position, item, name, workflow, kind, state, attempt, due_at, key,"
    " unknown, compensation, lease_token, lease_owner, lease_seconds, started_at, ended_at, input,"
    " output, error FROM steps"
)


def execution(conn: Session, id: str) -> Execution | None:
    """The execution, or None."""
    found = conn.execute(f"{_EXECUTION} WHERE id = ?", (id,)).fetchone()
    return Execution(*found) if found else None


def executions(conn: Session, where: str, values: tuple[Any, ...]) -> list[Execution]:
    """Those that match `where`, a clause of ours."""
    return [Execution(*row) for row in conn.execute(f"{_EXECUTION} {where}", values)]


def steps(conn: Session, where: str, values: tuple[Any, ...]) -> Iterator[Step]:
    """Those that match `where`, a clause of ours; read whole before it is changed."""
    return iter([Step(*row) for row in conn.execute(f"{_STEP} {where}", values)])


def step(
    conn: Session, execution: str, phase: Phase, position: int, item: int = WHOLE
) -> Step | None:
    """The step, or None."""
    where = "WHERE execution = ? AND phase = ? AND position = ? AND item = ?"
    return next(steps(conn, where, (execution, phase, position, item)), None)


def any_open(conn: Session, execution: str, first: int, last: int) -> bool:
    """Whether a step of these positions is still to end, going forward."""
    found = conn.execute(
        "SELECT 1 FROM steps WHERE execution = ? AND phase = 'forward' AND position BETWEEN ? AND ?"
        " AND state IN ('pending', 'running', 'waiting') LIMIT 1",
        (execution, first, last),
    ).fetchone()
    return found is not None


def anything_open(conn: Session, execution: str) -> bool:
    """Whether a step, or a compensation, is still to end."""
    found = conn.execute(
        "SELECT 1 FROM steps WHERE execution = ? AND state IN ('pending', 'running', 'waiting')"
        " LIMIT 1",
        (execution,),
    ).fetchone()
    return found is not None


def touched(conn: Session, execution: str) -> list[tuple[int, int, float | None]]:
    """Position, item and end of every step that has, or may have, an effect. A for_each has none of
    its own, its items have."""
    found = conn.execute(
        "SELECT position, item, ended_at FROM steps WHERE execution = ? AND phase = 'forward'"
        " AND kind <> 'each' AND (state = 'done' OR unknown = 1)",
        (execution,),
    )
    return [(int(position), int(item), ended) for position, item, ended in found]


def undone(conn: Session, execution: str) -> tuple[int, int]:
    """How many compensations worked, and how many were given up, on_fail among these."""
    found = conn.execute(
        "SELECT count(CASE WHEN state = 'done' AND position >= 0 THEN 1 END),"
        " count(CASE WHEN state <> 'done' THEN 1 END)"
        " FROM steps WHERE execution = ? AND phase = 'compensate'",
        (execution,),
    ).fetchone()
    return (int(found[0]), int(found[1])) if found else (0, 0)


def due(conn: Session, kind: Kind, now: float, limit: int) -> list[Step]:
    """Pending steps whose time has come, oldest first."""
    where = "WHERE state = 'pending' AND kind = ? AND due_at <= ? ORDER BY due_at LIMIT ?"
    return list(steps(conn, where, (kind, now, limit)))


def next_times(conn: Session, kinds: tuple[Kind, ...]) -> dict[Kind, float]:
    """When the next pending step of each kind wants to run; one look for all of them."""
    looks = ", ".join(
        f"(SELECT min(due_at) FROM steps WHERE state = 'pending' AND kind = '{kind}')"  # noqa: S608
        for kind in kinds
    )
    times = conn.execute(f"SELECT {looks}").fetchone()
    return {kind: time for kind, time in zip(kinds, times, strict=True) if time is not None}


def add_execution(conn: Session, row: Execution) -> None:
    """Insert it."""
    conn.execute(
        "INSERT INTO executions (id, workflow_id, program, status, reason, run, input, error,"
        " created_at, updated_at, deadline) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        msgspec.structs.astuple(row),
    )


def save_execution(conn: Session, row: Execution) -> None:
    """Update what changes in it."""
    conn.execute(
        "UPDATE executions SET status = ?, reason = ?, run = ?, error = ?, updated_at = ?,"
        " deadline = ? WHERE id = ?",
        (row.status, row.reason, row.run, row.error, row.updated_at, row.deadline, row.id),
    )


def pin(conn: Session, row: Execution) -> None:
    """Store the program that the execution goes on by."""
    conn.execute(
        "UPDATE executions SET program = ?, updated_at = ? WHERE id = ?",
        (row.program, row.updated_at, row.id),
    )


def add_step(conn: Session, row: Step) -> None:
    """Insert a step that waits for its turn."""
    conn.execute(
        "INSERT INTO steps (execution, phase, position, item, name, workflow, kind, state,"
        " attempt, due_at, key, compensation) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            row.execution,
            row.phase,
            row.position,
            row.item,
            row.name,
            row.workflow,
            row.kind,
            row.state,
            row.attempt,
            row.due_at,
            row.key,
            row.compensation,
        ),
    )


def save_step(conn: Session, row: Step) -> None:
    """Update what changes in it."""
    conn.execute(
        "UPDATE steps SET state = ?, attempt = ?, due_at = ?, unknown = ?, lease_token = ?,"
        " lease_owner = ?, lease_seconds = ?, started_at = ?, ended_at = ?, input = ?, output = ?,"
        " error = ? WHERE execution = ? AND phase = ? AND position = ? AND item = ?",
        (
            row.state,
            row.attempt,
            row.due_at,
            row.unknown,
            row.lease_token,
            row.lease_owner,
            row.lease_seconds,
            row.started_at,
            row.ended_at,
            row.input,
            row.output,
            row.error,
            row.execution,
            row.phase,
            row.position,
            row.item,
        ),
    )


def drop_step(conn: Session, row: Step) -> None:
    """Remove it; its attempts stay."""
    conn.execute(
        "DELETE FROM steps WHERE execution = ? AND phase = ? AND position = ? AND item = ?",
        (row.execution, row.phase, row.position, row.item),
    )


def archive(conn: Session, row: Step, run: int, outcome: str) -> None:
    """Keep the step's last attempt in the history. Twice is once."""
    conn.execute(
        "INSERT INTO attempts (execution, phase, position, item, run, attempt, name, outcome,"
        " input, output, error, started_at, ended_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT DO NOTHING",
        (
            row.execution,
            row.phase,
            row.position,
            row.item,
            run,
            row.attempt,
            row.name,
            outcome,
            row.input,
            row.output,
            row.error,
            row.started_at,
            row.ended_at,
        ),
    )


def refusals(conn: Session, row: Step, run: int) -> int:
    """How many attempts of the step an open breaker refused: they never left."""
    found = conn.execute(
        "SELECT count(*) FROM attempts WHERE execution = ? AND phase = ? AND position = ?"
        " AND item = ? AND run = ? AND outcome = ?",
        (row.execution, row.phase, row.position, row.item, run, REFUSED),
    ).get
    return int(found)


def outputs(conn: Session, execution: str, count: int) -> dict[str, object]:
    """What finished steps gave, by name; `count` is how many steps the workflow has."""
    # Each by its key: the items of a long list lie between them.
    places = ", ".join(map(str, range(count)))
    found = conn.execute(
        "SELECT name, output FROM steps WHERE execution = ? AND phase = 'forward'"  # noqa: S608
        f" AND position IN ({places}) AND item = -1 AND state = 'done'",
        (execution,),
    )
    return {name: msgspec.json.decode(text) if text else None for name, text in found}


def add_call(conn: Session, key: str, row: Step, command: str, priority: int, now: float) -> None:
    """The outside call of this attempt: in the same commit as the step that waits for it."""
    conn.execute(
        "INSERT INTO outbox (key, execution, phase, position, item, attempt, command,"
        " payload, expires_at, created_at, priority) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT DO NOTHING",
        (
            key,
            row.execution,
            row.phase,
            row.position,
            row.item,
            row.attempt,
            command,
            row.input,
            row.due_at,
            now,
            priority,
        ),
    )


ALONE = ("/dead", "/told")
"""What the keys of tasks end with that no step waits for: letters of calls that were given up, and
events that are published to a worker."""


def add_alone(conn: Session, key: str, about: str, command: str, payload: str, now: float) -> None:
    """A task that no step waits for. `about` is the execution, or the event, that it is about."""
    conn.execute(
        "INSERT INTO outbox (key, execution, phase, position, item, attempt, command, payload,"
        " expires_at, created_at) VALUES (?,?,'alone',-1,-1,0,?,?,?,?) ON CONFLICT DO NOTHING",
        (key, about, command, payload, NEVER, now),
    )


def drop_calls(conn: Session, row: Step) -> bool:
    """Nobody waits for the calls of this step any more: the queue shall take them back. Returns
    whether there are any."""
    conn.execute(
        "UPDATE outbox SET state = 'cancel' WHERE execution = ? AND phase = ? AND position = ?"
        " AND item = ?",
        (row.execution, row.phase, row.position, row.item),
    )
    return conn.changes() > 0
