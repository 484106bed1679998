"""Executions, steps, workflows and jobs as people read them: pages and histories, read-only."""

# ruff: noqa: S608 - clauses are texts of ours, values are always parameters

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backstay.app.flow import model, rows
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
        for row in conn.execute(sql, span(window))
    ]
    return page(data, window, conn.execute("SELECT count(*) FROM workflows").get)


def executions(conn: Session, window: Window, filters: Mapping[str, str]) -> Json:
    """The newest first. `filters` are columns of ours and values of the caller."""
    where, values = _where(filters)
    found = rows.executions(
        conn, f"{where} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?", values + span(window)
    )
    total = conn.execute(f"SELECT count(*) FROM executions {where}", values).get
    return page([_execution(row) for row in found], window, total)


def execution(conn: Session, id: str) -> Json | None:
    """One execution with its steps and each one's attempts, in the order they began."""
    row = rows.execution(conn, id)
    if row is None:
        return None
    tried = _tried(conn, id)
    steps = list(rows.steps(conn, "WHERE execution = ? ORDER BY phase, position, item", (id,)))
    forward = [step for step in steps if step.phase == "forward"]
    # As they ran: the last to end was undone first, on_fail came at the end.
    backward = sorted(
        (step for step in steps if step.phase == "compensate"),
        key=lambda s: (s.position < 0, s.ended_at or float("inf"), -s.position, -s.item),
    )

    def show(step: rows.Step) -> Json:
        return _step(step, row.run, tried.pop((step.phase, step.position, step.item), []))

    shown = _execution(row) | {
        "steps": [show(step) for step in forward],
        "compensations": [show(step) for step in backward],
    }
    return shown | {"earlier_runs": [each for attempts in tried.values() for each in attempts]}


def _tried(conn: Session, id: str) -> dict[tuple[str, int, int], list[Json]]:
    tried: dict[tuple[str, int, int], list[Json]] = {}
    sql = (
        "SELECT phase, position, item, name, run, attempt, outcome, input, output, error,"
        " started_at, ended_at FROM attempts WHERE execution = ? ORDER BY run, attempt"
    )
    for found in conn.execute(sql, (id,)):
        phase, position, item, name, run, attempt, outcome, given, output, error, *times = found
        tried.setdefault((phase, position, item), []).append(
            {
                "run": run,
                "attempt": attempt,
                "outcome": outcome,
                "name": name,
                "input": _json(given),
                "output": _json(output),
                "error": error or "",
                "started_at": time_of(times[0]),
                "ended_at": time_of(times[1]),
            }
        )
    return tried


def history(conn: Session, id: str) -> Json | None:
    """What happened to an execution as one line of time: its start, every try of every step, the
    signals that came, the events it emitted, its end. None for an unknown one."""
    found = execution(conn, id)
    if found is None:
        return None
    line = [{"at": found["created_at"], "what": "created", "input": found["input"]}]
    for phase in ("steps", "compensations"):
        for step in found[phase]:
            line += [_moment(phase, step, tried) for tried in step["attempts"]]
    line += [_moment("steps", {}, tried) for tried in found["earlier_runs"]]
    signals = "SELECT name, payload, created_at FROM backstay_signals WHERE execution = ?"
    for name, payload, at in conn.execute(signals, (id,)):
        line.append({"at": time_of(at), "what": "signal", "name": name, "value": _json(payload)})
    emitted = "SELECT id, event, created_at FROM events WHERE origin = ? AND origin <> ''"
    for event, name, at in conn.execute(emitted, (id,)):
        line.append({"at": time_of(at), "what": "event", "name": name, "id": event})
    if found["status"] not in ("pending", "running", "compensating"):
        ended = {"at": found["updated_at"], "what": found["status"], "error": found["error"]}
        line.append(ended)
    line.sort(key=lambda moment: moment["at"] or "")
    return {"id": id, "workflow_id": found["workflow_id"], "status": found["status"], "data": line}


def _moment(phase: str, step: Json, tried: Json) -> Json:
    """One try of a step in the line of time."""
    return {
        "at": tried["started_at"],
        "what": "compensation" if phase == "compensations" else "step",
        "name": step.get("name") or tried.get("name", ""),
        **({"item": step["item"]} if "item" in step else {}),
        "run": tried["run"],
        "attempt": tried["attempt"],
        "outcome": tried["outcome"],
        "error": tried["error"],
        "ended_at": tried["ended_at"],
    }


def jobs(conn: Session, window: Window) -> Json:
    """Jobs with their last run and the next one to come."""
    sql = (
        "SELECT name, CASE WHEN paused = 1 AND status = 'active' THEN 'paused' ELSE status END,"
        " schedule, timezone, description,"
        " (SELECT max(fire_at) FROM job_runs WHERE job = jobs.name AND status IN"
        "  ('done', 'failed')),"
        " (SELECT min(fire_at) FROM job_runs WHERE job = jobs.name AND status = 'pending')"
        " FROM jobs ORDER BY name LIMIT ? OFFSET ?"
    )
    names = ("name", "status", "schedule", "timezone", "description", "last_run_at", "next_run_at")
    data = [_shown(dict(zip(names, row, strict=True))) for row in conn.execute(sql, span(window))]
    return page(data, window, conn.execute("SELECT count(*) FROM jobs").get)


def job_runs(conn: Session, window: Window, filters: Mapping[str, str]) -> Json:
    """Runs of jobs, those to come first."""
    where, values = _where(filters)
    columns = (
        *("id", "job", "status", "cause", "fire_at", "started_at", "ended_at", "error"),
        "execution",
    )
    sql = (
        f"SELECT {', '.join(columns)} FROM job_runs {where}"
        " ORDER BY fire_at DESC, id DESC LIMIT ? OFFSET ?"
    )
    data = [
        _shown(dict(zip(columns, row, strict=True)))
        for row in conn.execute(sql, values + span(window))
    ]
    return page(data, window, conn.execute(f"SELECT count(*) FROM job_runs {where}", values).get)


def _where(filters: Mapping[str, str]) -> tuple[str, tuple[Any, ...]]:
    if not filters:
        return "", ()
    return "WHERE " + " AND ".join(f"{name} = ?" for name in filters), tuple(filters.values())


def span(window: Window) -> tuple[int, int]:
    """LIMIT and OFFSET."""
    return window.limit, (window.page - 1) * window.limit


def page(data: Sequence[Json], window: Window, total: int) -> Json:
    """A list as every list of the API is answered."""
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
        "created_at": time_of(row.created_at),
        "updated_at": time_of(row.updated_at),
        "deadline": time_of(row.deadline),
    }


def _step(row: rows.Step, run: int, attempts: list[Json]) -> Json:
    last = {
        "run": run,
        "attempt": row.attempt,
        "outcome": row.state,
        "input": _json(row.input),
        "output": _json(row.output),
        "error": row.error or "",
        "started_at": time_of(row.started_at),
        "ended_at": time_of(row.ended_at),
    }
    told = any(a["run"] == run and a["attempt"] == row.attempt for a in attempts)
    return {
        "name": row.name,
        "position": row.position,
        **({"item": row.item} if row.item >= 0 else {}),
        "kind": row.kind,
        "state": row.state,
        "attempt": row.attempt,
        "unknown": bool(row.unknown),
        "idempotency_key": row.key,
        "compensation": row.compensation,
        "due_at": _due(row),
        "output": _json(row.output),
        "error": row.error or "",
        "attempts": attempts if told or not row.attempt else [*attempts, last],
    }


def _due(row: rows.Step) -> str | None:
    """When it is tried, or given up; a for_each waits for its items as long as they take."""
    waits = row.state in ("pending", "waiting") and row.due_at < model.NEVER
    return time_of(row.due_at) if waits else None


def _shown(row: Json) -> Json:
    return {name: time_of(value) if name.endswith("_at") else value for name, value in row.items()}


def time_of(epoch: float | None) -> str | None:
    """RFC 3339 of epoch seconds."""
    return None if epoch is None else rfc3339(epoch)


def _json(text: str | None) -> Plain:
    if text is None:
        return None
    decoded: Plain = msgspec.json.decode(text)
    return decoded
