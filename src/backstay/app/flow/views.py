"""Executions, steps, workflows and jobs as people read them: pages and histories, read-only."""

# ruff: noqa: S608 - clauses are texts of ours, values are always parameters

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backstay.app.flow import rows
from backstay.app.store.session import Session
from backstay.core.clock import rfc3339
from backstay.core.errors import Plain

Json = dict[str, Any]


class Window(msgspec.Struct, frozen=True):
    """Which part of a list: `page` begins at 1."""

    limit: int
    page: int


def workflows(conn: Session, window: Window) -> Json:
    """Workflows with how many executions are in each status: two statements for any number."""
    counts: dict[str, dict[str, int]] = {}
    grouped = "SELECT workflow_id, status, count(*) FROM executions GROUP BY 1, 2"
    for workflow, status, count in conn.execute(grouped):
        counts.setdefault(workflow, {})[status] = count
    columns = ("id", "name", "status", "description", "steps", "timeout", "program", "created_at")
    sql = f"SELECT {', '.join(columns)} FROM workflows ORDER BY id LIMIT ? OFFSET ?"
    data = [
        _shown(dict(zip(columns, row, strict=True))) | {"executions": counts.get(row[0], {})}
        for row in conn.execute(sql, _span(window))
    ]
    return _page(data, window, conn.execute("SELECT count(*) FROM workflows").get)


def executions(conn: Session, window: Window, filters: Mapping[str, str]) -> Json:
    """The newest first. `filters` are columns of ours and values of the caller."""
    where, values = _where(filters)
    found = rows.executions(
        conn, f"{where} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?", values + _span(window)
    )
    total = conn.execute(f"SELECT count(*) FROM executions {where}", values).get
    return _page([_execution(row) for row in found], window, total)


def execution(conn: Session, id: str) -> Json | None:
    """One execution with its steps and each one's attempts, in the order they began."""
    row = rows.execution(conn, id)
    if row is None:
        return None
    tried: dict[tuple[str, int], list[Json]] = {}
    sql = (
        "SELECT phase, position, run, attempt, outcome, input, output, error, started_at, ended_at"
        " FROM attempts WHERE execution = ? ORDER BY run, attempt"
    )
    for phase, position, run, attempt, outcome, given, output, error, began, ended in conn.execute(
        sql, (id,)
    ):
        tried.setdefault((phase, position), []).append(
            {
                "run": run,
                "attempt": attempt,
                "outcome": outcome,
                "input": _json(given),
                "output": _json(output),
                "error": error or "",
                "started_at": _time(began),
                "ended_at": _time(ended),
            }
        )
    steps = rows.steps(conn, "WHERE execution = ?", (id,))
    forward: list[Json] = []
    backward: list[Json] = []
    for step in steps:
        shown = _step(step, row.run, tried.pop((step.phase, step.position), []))
        (forward if step.phase == "forward" else backward).append(shown)
    # Compensations run newest first, on_fail (the lowest position) last.
    earlier = [attempt for attempts in tried.values() for attempt in attempts]
    return _execution(row) | {
        "steps": forward,
        "compensations": backward[::-1],
        "earlier_runs": earlier,
    }


def jobs(conn: Session, window: Window) -> Json:
    """Jobs with their last run and the next one to come."""
    sql = (
        "SELECT name, status, schedule, timezone, description,"
        " (SELECT max(fire_at) FROM job_runs WHERE job = jobs.name AND status IN"
        "  ('done', 'failed')),"
        " (SELECT min(fire_at) FROM job_runs WHERE job = jobs.name AND status = 'pending')"
        " FROM jobs ORDER BY name LIMIT ? OFFSET ?"
    )
    names = ("name", "status", "schedule", "timezone", "description", "last_run_at", "next_run_at")
    data = [_shown(dict(zip(names, row, strict=True))) for row in conn.execute(sql, _span(window))]
    return _page(data, window, conn.execute("SELECT count(*) FROM jobs").get)


def job_runs(conn: Session, window: Window, filters: Mapping[str, str]) -> Json:
    """Runs of jobs, those to come first."""
    where, values = _where(filters)
    columns = ("id", "job", "status", "cause", "fire_at", "started_at", "ended_at", "error")
    sql = (
        f"SELECT {', '.join(columns)} FROM job_runs {where}"
        " ORDER BY fire_at DESC, id DESC LIMIT ? OFFSET ?"
    )
    data = [
        _shown(dict(zip(columns, row, strict=True)))
        for row in conn.execute(sql, values + _span(window))
    ]
    return _page(data, window, conn.execute(f"SELECT count(*) FROM job_runs {where}", values).get)


def _where(filters: Mapping[str, str]) -> tuple[str, tuple[Any, ...]]:
    if not filters:
        return "", ()
    return "WHERE " + " AND ".join(f"{name} = ?" for name in filters), tuple(filters.values())


def _span(window: Window) -> tuple[int, int]:
    return window.limit, (window.page - 1) * window.limit


def _page(data: Sequence[Json], window: Window, total: int) -> Json:
    return {
        "data": data,
        "pagination": {
            "limit": window.limit,
            "page": window.page,
            "total": total,
            "has_next": window.page * window.limit < total,
            "next_cursor": None,
        },
    }


def _execution(row: rows.Execution) -> Json:
    return {
        "id": row.id,
        "workflow_id": row.workflow,
        "status": row.status,
        "reason": row.reason,
        "run": row.run,
        "input": _json(row.input),
        "error": row.error,
        "program": row.program,
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
        "deadline": _time(row.deadline),
    }


def _step(row: rows.Step, run: int, attempts: list[Json]) -> Json:
    last = {
        "run": run,
        "attempt": row.attempt,
        "outcome": row.state,
        "input": _json(row.input),
        "output": _json(row.output),
        "error": row.error or "",
        "started_at": _time(row.started_at),
        "ended_at": _time(row.ended_at),
    }
    told = any(a["run"] == run and a["attempt"] == row.attempt for a in attempts)
    return {
        "name": row.name,
        "position": row.position,
        "kind": row.kind,
        "state": row.state,
        "attempt": row.attempt,
        "unknown": bool(row.unknown),
        "idempotency_key": row.key,
        "compensation": row.compensation,
        "due_at": _time(row.due_at) if row.state in ("pending", "waiting") else None,
        "output": _json(row.output),
        "error": row.error or "",
        "attempts": attempts if told or not row.attempt else [*attempts, last],
    }


def _shown(row: Json) -> Json:
    return {name: _time(value) if name.endswith("_at") else value for name, value in row.items()}


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else rfc3339(epoch)


def _json(text: str | None) -> Plain:
    if text is None:
        return None
    decoded: Plain = msgspec.json.decode(text)
    return decoded
